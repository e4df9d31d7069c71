<?php use function Shop\{e, money}; ?>
<h1><?= e($title) ?></h1>
<ul>
<?php foreach ($products as $product): ?>
  <li><a href="/product?id=<?= $product['id'] ?>"><?= e($product['name']) ?></a> <?= money($product['price_cents']) ?>
    <p><?= e(substr($product['description'], 0, 120)) ?>...</p></li>
<?php endforeach ?>
</ul>
