# Removes a testbed when its owner is gone. Arguments: the testbed's directory, its namespaces.
#
# Its owner holds the other end of its input, so the input ends with the owner, however that ends.
# A line `release` lets the testbed live on, a line `remove` says that the owner is not in the midst
# of anything.
set -u
directory=$1
shift
word=
while read -r word; do
    case $word in
        release) exit 0 ;;
        remove) break ;;
    esac
done
# An owner that was killed may have left an `ip` or a QEMU behind that is still starting; it must
# not come after us.
[ "$word" = remove ] || sleep 0.5

# Processes of the testbed's list that still run and are not later ones of the same number.
listed() {
    [ -f "$directory/processes" ] || return 0
    while read -r pid start; do
        stat=$(cat "/proc/$pid/stat" 2>/dev/null) || continue
        set -- ${stat##*) }
        [ "$1" != Z ] && [ "${20}" = "$start" ] && echo "$pid"
    done <"$directory/processes"
}

# Whatever runs inside the namespaces, listed or not.
inside() {
    for namespace; do
        ip netns pids "$namespace" 2>/dev/null
    done
}

tries=0
while
    pids=$(listed; inside "$@")
    [ -n "$pids" ] && [ "$tries" -lt 400 ]
do
    kill -9 $pids 2>/dev/null
    tries=$((tries + 1))
    sleep 0.025
done

left=
[ -n "$pids" ] && left=" processes $pids"
for namespace; do
    ip netns del "$namespace" 2>/dev/null
    [ -e "/run/netns/$namespace" ] && left="$left namespace $namespace"
done
rm -rf -- "$directory"
[ -e "$directory" ] && left="$left directory $directory"
[ -z "$left" ] && exit 0
echo "left:$left" >&2
exit 1
