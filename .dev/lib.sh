# Shared by the scripts next to it; POSIX sh, sourced, no side effects.
# shellcheck shell=sh

say() { printf '%s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }

# Debian leaves the administrator's directories out of a user's PATH, and php-fpm and nginx live there.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
export PATH

# --- running something as root ------------------------------------------------------------------------------------

can_be_root() { [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n -- "$@"; fi
}

# --- Debian packages ----------------------------------------------------------------------------------------------

# why_not_apt: prints why packages cannot be installed here, nothing when they can.
why_not_apt() {
    if ! command -v apt-get >/dev/null; then
        echo "this is not a Debian or Ubuntu system"
    elif ! can_be_root; then
        echo "this user is neither root nor allowed to use sudo without a password"
    fi
}

# _apt_get ARGUMENT...: apt-get without questions; its chatter is shown only when it fails.
_apt_get() {
    apt_log=$(mktemp)
    apt_code=0
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 "$@" >"$apt_log" 2>&1 || apt_code=$?
    [ "$apt_code" -eq 0 ] || tail -n 20 "$apt_log" >&2
    rm -f "$apt_log"
    return "$apt_code"
}

# has_candidate PACKAGE: whether apt could install it, as far as its lists know.
has_candidate() { LC_ALL=C apt-cache policy "$1" 2>/dev/null | grep -q '^  Candidate: [^(]'; }

# fill_package_lists: fetches the package lists when there are none (fresh containers and images).
fill_package_lists() {
    has_candidate nginx || _apt_get update || :
}

# apt_install PACKAGE...: installs without starting any service and leaves existing ones alone.
# The package lists are refreshed only when the first attempt fails, as it does with outdated lists.
apt_install() (
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'as_root rm -f "$policy"' EXIT
        trap 'exit 130' INT
        trap 'exit 143' TERM HUP
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    fi
    say "installing: $*"
    _apt_get install --no-install-recommends "$@" && exit 0
    say "trying again with fresh package lists"
    _apt_get update && _apt_get install --no-install-recommends "$@"
)

# --- what the PHP half needs --------------------------------------------------------------------------------------

php_version() { php -n -r 'echo PHP_MAJOR_VERSION, ".", PHP_MINOR_VERSION;' 2>/dev/null; }

_php_has() { php -m 2>/dev/null | grep -qix "$1"; }

_php_fpm() { command -v "php-fpm$(php_version)" || command -v php-fpm; }

_xdebug_there() { [ -e "$(php -n -r 'echo ini_get("extension_dir");' 2>/dev/null)/xdebug.so" ]; }

# missing_php: one word a line for every part of the PHP half that is not there.
missing_php() {
    command -v nginx >/dev/null || echo nginx
    if ! command -v php >/dev/null; then
        printf '%s\n' cli fpm xdebug apcu sqlite3
        return
    fi
    _php_fpm >/dev/null || echo fpm
    _xdebug_there || echo xdebug
    _php_has apcu || echo apcu
    _php_has pdo_sqlite || echo sqlite3
}

# missing_test: the same for what only the tests need.
missing_test() {
    if command -v php >/dev/null; then
        _php_has xml || echo xml
        _php_has mbstring || echo mbstring
        _php_has curl || echo curl
        _php_has intl || echo intl  # MediaWiki
        [ -e "/usr/lib/apache2/modules/libphp$(php_version).so" ] || echo mod_php
    else
        printf '%s\n' xml mbstring curl intl mod_php
    fi
    command -v apache2 >/dev/null || echo apache2
    command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || echo chromium
    command -v firefox-esr >/dev/null || command -v firefox >/dev/null || echo firefox-esr
    command -v node >/dev/null || echo nodejs
    command -v npm >/dev/null || echo npm
    ldconfig -p | grep -q 'libatomic\.so\.1' || echo libatomic1  # what playwright ships links to it
    # Programs that are looked into from outside: compiled in the test, for glibc and musl, and with another malloc.
    command -v gcc >/dev/null || echo gcc
    [ -e /usr/include/malloc.h ] || echo libc6-dev
    command -v musl-gcc >/dev/null || echo musl-tools
    ldconfig -p | grep -q 'libjemalloc\.so\.2' || echo libjemalloc2
    ldconfig -p | grep -q 'libtcmalloc_minimal\.so\.4' || echo libtcmalloc-minimal4
    ldconfig -p | grep -q 'libmimalloc\.so\.2' || echo libmimalloc2.0
    command -v callgrind_annotate >/dev/null || echo valgrind
    # Genuine readers of what the harness exports (tests/integration/test_exports.py).
    command -v go >/dev/null || echo golang-go
    command -v promtool >/dev/null || echo prometheus
    # A consumer of symfony/messenger, whose queue is an SQLite file.
    [ -e /usr/share/php/Symfony/Component/Messenger/autoload.php ] || echo php-symfony-messenger
    [ -e /usr/share/php/Symfony/Component/Messenger/Bridge/Doctrine/autoload.php ] || echo php-symfony-doctrine-messenger
    [ -e /usr/share/php/Symfony/Component/Console/autoload.php ] || echo php-symfony-console
    [ -e /usr/share/php/Symfony/Component/EventDispatcher/autoload.php ] || echo php-symfony-event-dispatcher
    [ -e /usr/share/php/Doctrine/DBAL/autoload.php ] || echo php-doctrine-dbal
    command -v wrk >/dev/null || echo wrk  # traffic that is not ours
    command -v ab >/dev/null || echo apache2-utils
    command -v gdb >/dev/null || echo gdb  # puts the Python agent into processes that run already
    # uWSGI embeds the distribution's Python, and its application lives in an environment of that.
    command -v uwsgi >/dev/null || echo uwsgi-core
    [ -e /usr/lib/uwsgi/plugins/python3_plugin.so ] || echo uwsgi-plugin-python3
    /usr/bin/python3 -c 'import ensurepip' 2>/dev/null || echo python3-venv
    # Xdebug's files in other places: a container without an image, a host with sshd, and shells as they are there.
    command -v podman >/dev/null || echo podman
    command -v runc >/dev/null || echo runc
    # Images of docker/, made from this distribution's packages: tests/integration/test_containers.py.
    command -v debootstrap >/dev/null || echo debootstrap
    command -v buildah >/dev/null || echo buildah
    [ -e /usr/lib/podman/netavark ] || echo netavark
    command -v iptables >/dev/null || echo iptables
    command -v newuidmap >/dev/null || echo uidmap
    command -v docker-compose >/dev/null || echo docker-compose  # reads docker/compose.yml
    command -v sshd >/dev/null || echo openssh-server
    command -v ssh >/dev/null || echo openssh-client
    command -v ip >/dev/null || echo iproute2  # hosts with networks of their own
    command -v busybox >/dev/null || echo busybox
    # The table of CPython's layouts is made again from the headers of our own Python.
    [ -d "$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("include"))')/internal" ] || echo python-headers
}

# package_of PART: the Debian package; PHP's follow the version that is installed, else the distribution's default.
package_of() {
    case $1 in
        nginx) if has_candidate nginx-light; then echo nginx-light; else echo nginx; fi ;;
        mod_php) echo "libapache2-mod-php$(php_version)" ;;
        apache2 | chromium | firefox-esr | nodejs | npm | libatomic1 | gcc | libc6-dev | musl-tools | libjemalloc2 | libtcmalloc-minimal4 | libmimalloc2.0 | valgrind | golang-go | prometheus | wrk | apache2-utils | gdb | uwsgi-core | uwsgi-plugin-python3 | python3-venv | podman | runc | debootstrap | buildah | netavark | iptables | uidmap | docker-compose | openssh-server | openssh-client | iproute2 | busybox | php-symfony-* | php-doctrine-*) echo "$1" ;;
        python-headers) .venv/bin/python -c 'import sys; print("python%d.%d-dev" % sys.version_info[:2])' ;;
        *) echo "php$(php_version)-$1" ;;
    esac
}
