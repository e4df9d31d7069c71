"""php-fpm: configuration of masters of our own, and what a running one tells: log, status page, shared caches."""
