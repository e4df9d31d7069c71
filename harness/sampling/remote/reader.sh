# Shows files of this host to whoever asks, for hosts without Python. POSIX sh, and grep, tr and printf of any kind.
# A line on standard input is a question; the end of standard input is the end. Nothing is written anywhere.
#   r PATTERN...  files: one "PATH:LINE" for each of their lines, so that no content can look like anything else
#   c PID...      command lines: one "/proc/PID/cmdline:WORDS" each, words apart by \001, line breaks as blanks
# Every answer begins with "@ SECONDS", the time since boot, and ends with "@end".
LC_ALL=C
export LC_ALL
text=
if printf 'x\n' | grep -a x >/dev/null 2>&1; then text=-a; fi
while read -r kind wanted; do
    up=
    read -r up rest </proc/uptime
    printf '@ %s\n' "$up"
    case $kind in
    r) grep $text -H '' $wanted /dev/null 2>/dev/null </dev/null ;;
    c)
        for pid in $wanted; do
            if [ -r "/proc/$pid/cmdline" ]; then
                printf '/proc/%s/cmdline:' "$pid"
                tr '\n\000' ' \001' <"/proc/$pid/cmdline" 2>/dev/null
                printf '\n'
            fi
        done
        ;;
    esac
    printf '@end\n'
done
