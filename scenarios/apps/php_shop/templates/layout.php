<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Shop</title></head>
<body>
<nav><a href="/">Shop</a> <a href="/cart">Cart</a></nav>
<main><?= $main ?></main>
</body>
</html>
