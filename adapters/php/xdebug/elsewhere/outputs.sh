# Answers requests about one directory of Xdebug's files, where no harness is. POSIX sh; GNU or busybox tools.
#
# Read from standard input behind lines that set token, dir and log; nothing of it stays. A request is a line "NUMBER VERB
# WORDS"; every line of an answer begins with the token and the number, the last has "end" behind them. After a line "... data"
# come bytes in gzip, which know their own end. It ends when its input does.
#
# shellcheck shell=sh disable=SC2154

say() { printf '%s %s %s\n' "$token" "$n" "$*"; }

send() {
    say data
    gzip -1 -c
}

missing_tools() {
    for tool in ls tail head stat cat gzip rm sleep; do
        command -v "$tool" >/dev/null 2>&1 || printf ' %s' "$tool"
    done
}

# A pipe that is put in the place of a file just looked at would never open: then this shell ends, and the line with it.
open_plain() {
    exec 3<&-
    case $(stat -L -c %f -- "$1" 2>/dev/null) in
        8???) ;;
        '') return 1 ;;
        *) return 2 ;;
    esac
    (sleep 5 && kill -9 $$) <&- >/dev/null 2>&1 &
    guard=$!
    opened=0
    command exec 3<"$1" || opened=3
    kill "$guard"
    return "$opened"
} 2>/dev/null

lock_of() {
    if command -v flock >/dev/null 2>&1; then
        if flock -n -s 3 2>/dev/null; then flock -u 3 && echo free; else echo held; fi
        return
    fi
    while read -r _ kind _ mode _ where _; do
        case $kind.$mode.$where in
            FLOCK.WRITE.*":$1") echo held && return ;;
        esac
    done 2>/dev/null </proc/locks
    echo unknown
}

do_hello() {
    if [ ! -e "$dir" ]; then
        place=absent
    elif [ ! -d "$dir" ]; then
        place=file
    elif [ -r "$dir" ] && [ -x "$dir" ]; then
        place=there
    else
        place=denied
    fi
    if [ -z "$log" ]; then
        logged=none
    elif [ ! -e "$log" ]; then
        logged=absent
    elif [ ! -f "$log" ]; then
        logged=special
    elif [ -r "$log" ]; then
        logged=there
    else
        logged=denied
    fi
    if [ -w "$dir" ]; then writable=yes; else writable=no; fi
    if [ -e /proc/self/fd/0 ]; then proc=yes; else proc=no; fi
    say place "$place"
    say writable "$writable"
    say log "$logged"
    say proc "$proc"
    say missing "$(missing_tools)"
}

do_clock() { say clock "$(date +%s%N 2>/dev/null)" "$(date +%s 2>/dev/null)"; }

do_free() { say free "$(stat -f -c '%a %S' . 2>/dev/null)"; }

do_names() {
    # -f: unsorted, so that endless directories need no memory; busybox has no such option.
    if ls -1f / >/dev/null 2>&1; then ls -1f .; else ls -1 .; fi 2>/dev/null | head -n "$1" | head -c "$2" | send
}

do_times() {
    stat -c '%s %Y %y %n' -- "$@" 2>/dev/null | send
}

# open NAME PID: what is there, the numbers of who may have written it, and whether it is really the file of this name.
do_open() {
    case $(stat -c %f -- "./$1" 2>/dev/null) in
        8???) ;;
        '') say missing; return ;;
        *) say special; return ;;
    esac
    open_plain "./$1"
    case $? in
        0) ;;
        1) say missing; return ;;
        2) say special; return ;;
        *) say denied; return ;;
    esac
    named=$(stat -c '%d:%i' -- "./$1" 2>/dev/null)
    opened=$(stat -L -c '%d:%i' /proc/self/fd/0 2>/dev/null <&3)
    [ "$named" = "$opened" ] || { say special; return; }
    say owners "$(stat -c %u . 2>/dev/null)" "$(stat -L -c %u /proc/self 2>/dev/null)" "$(stat -c %u "/proc/$2" 2>/dev/null)"
}

do_look() {
    say file "$(stat -L -c '%f %u %h %s %Y %y' /proc/self/fd/0 2>/dev/null <&3)"
    say lock "$(lock_of "$(stat -L -c %i /proc/self/fd/0 2>/dev/null <&3)")"
}

do_tail() { tail -c "$1" /proc/self/fd/0 <&3 2>/dev/null | head -c "$1" | send; }

do_copy() { head -c "$1" /proc/self/fd/0 <&3 2>/dev/null | send; }

# A removed file keeps its space as long as it is open.
do_close() { exec 3<&-; }

do_remove() {
    for name in "$@"; do rm -f -- "./$name" 2>/dev/null; done
}

do_log() {
    open_plain "$log" && do_tail "$1"
}

serve() {
    unset CDPATH
    set -f
    umask 077
    LC_ALL=C
    export LC_ALL
    n=0
    say ready
    while read -r n verb words; do
        # shellcheck disable=SC2086  # words are to be split
        set -- $words
        case $verb in
            hello) do_hello ;;
            clock) do_clock ;;
            names | times | open | remove | free)
                # Anew each time: a service that is restarted may get a new directory.
                if cd -- "$dir" 2>/dev/null; then "do_$verb" "$@"; else say gone; fi
                ;;
            look | tail | copy | close | log) "do_$verb" "$@" ;;
        esac
        say end
    done
    exit 0
}

serve
