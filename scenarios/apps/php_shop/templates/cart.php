<?php use function Shop\{e, money}; ?>
<h1>Cart</h1>
<table>
<?php foreach ($lines as [$product, $count]): ?>
  <tr><td><?= e($product['name']) ?></td><td><?= $count ?></td><td><?= money($product['price_cents'] * $count) ?></td></tr>
<?php endforeach ?>
</table>
