"""Web servers of our own for one run: nginx or Apache before php-fpm, or PHP inside Apache."""
