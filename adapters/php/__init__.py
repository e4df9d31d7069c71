"""PHP services: php-fpm, php -S and scripts, Xdebug profiles, per-request records."""
