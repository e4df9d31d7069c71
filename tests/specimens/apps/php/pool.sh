#!/bin/sh
# pool.sh HERE PORT LINE...: a php-fpm behind nginx whose pool has these lines (`pm = ondemand` and so on), for what the harness does not start
# itself. All files are in HERE, which is thrown away after the run; the applications' scratch files too.
set -e
here=$1 port=$2 apps=$(cd "$(dirname "$0")" && pwd)
shift 2
mkdir -p "$here/scratch" "$here/nginx"
chmod 777 "$here/scratch"
account=$(id -un)
if [ "$account" = root ]; then account=www-data; fi
{
    printf '[global]\nerror_log = %s/fpm.log\ndaemonize = no\n' "$here"
    printf '[www]\nuser = %s\nlisten = %s/fpm.sock\nlisten.mode = 0666\nclear_env = no\n' "$account" "$here"
    printf 'php_admin_value[sys_temp_dir] = %s/scratch\n' "$here"
    printf '%s\n' "$@"
} > "$here/fpm.conf"
cat > "$here/nginx.conf" <<END
daemon off;
pid $here/nginx.pid;
error_log $here/nginx.log;
worker_processes 1;
events {}
http {
    access_log off;
    client_body_temp_path $here/nginx/body;
    fastcgi_temp_path $here/nginx/fastcgi;
    proxy_temp_path $here/nginx/proxy;
    uwsgi_temp_path $here/nginx/uwsgi;
    scgi_temp_path $here/nginx/scgi;
    server {
        listen 127.0.0.1:$port;
        location / {
            include /etc/nginx/fastcgi_params;
            fastcgi_param SCRIPT_FILENAME $apps/public/index.php;
            fastcgi_param HTTP_TRACEPARENT \$http_traceparent;
            fastcgi_pass unix:$here/fpm.sock;
        }
    }
}
END
fpm=$(ls /usr/sbin/php-fpm[0-9]* /usr/sbin/php-fpm 2>/dev/null | head -n 1)
"$fpm" -F -y "$here/fpm.conf" &
pool=$!
nginx -c "$here/nginx.conf" -e "$here/nginx.log" &
front=$!
trap 'kill $pool $front 2>/dev/null' INT TERM
wait $pool || true
kill $front 2>/dev/null || true
