<?php use function Shop\{e, money}; ?>
<h1><?= e($product['name']) ?></h1>
<p><?= money($product['price_cents']) ?></p>
<p><?= e($product['description']) ?></p>
<form method="post" action="/cart/add">
  <input type="hidden" name="csrf" value="<?= e($csrf) ?>">
  <input type="hidden" name="product" value="<?= $product['id'] ?>">
  <button>Add to cart</button>
</form>
