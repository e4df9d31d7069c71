<?php use function Shop\e; ?>
<h1><?= e($message) ?></h1>
