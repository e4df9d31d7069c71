<?php use function Shop\{e, money}; ?>
<h1><?= e($title) ?></h1>
<?php if (isset($suggestion)): ?>
<p>Others looked for <a href="/search?q=<?= e(rawurlencode($suggestion)) ?>"><?= e($suggestion) ?></a>.</p>
<?php endif ?>
<ul>
<?php foreach ($products as $product): ?>
  <li><a href="/product?id=<?= $product['id'] ?>"><?= e($product['name']) ?></a> <?= money($product['price_cents']) ?>
    <p><?= e(substr($product['description'], 0, 120)) ?>...</p></li>
<?php endforeach ?>
</ul>
