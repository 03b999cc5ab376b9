# Prints one word for the first thing that is wrong with the socket $1, else whether anybody
# listens there: "listening", "nobody", or "unsure" where that cannot be told.
path=$1
if ! test -e "$path"; then
  # Missing, or in a directory that may not be searched?
  above=$path
  while ! test -e "$above" && ! test -h "$above"; do above=$(dirname "$above"); done
  if test -h "$above"; then echo dangling
  elif test -d "$above" && ! test -x "$above"; then echo denied
  else echo missing; fi
elif ! test -S "$path"; then echo other
elif ! test -w "$path"; then echo denied
# Processes outside of a container, or of other users, may be hidden from us.
elif test "$(readlink /proc/self/ns/pid)" != "pid:[4026531836]" || ! test -r /proc/1/net/unix; then
  echo unsure
else
  # /proc/PID/net/unix lists the sockets of one network namespace; each has an inode of its own.
  # A path stands there as it was given to bind: one that is relative is ours by its last part,
  # one that is absolute unless it leads to another file.
  name=${path##*/} real=$(readlink -f "$path")
  export name real
  ls -i /proc/[0-9]*/net/unix 2>/dev/null | awk '
    BEGIN { name = ENVIRON["name"]; real = ENVIRON["real"]; sub(/.*\//, "", real) }
    !($1 in done) {
      lines = 0
      while ((got = (getline line < $2)) > 0) {
        lines++
        split(line, field)
        if (substr(field[4], 4, 1) != "1") continue
        for (i = 0; i < 7; i++) sub(/^[^ ]+ +/, "", line)
        bound = line
        sub(/.*\//, "", line)
        if (line == name || line == real) print "at " bound
      }
      close($2)
      # One whose process has just ended says nothing; the next one of its namespace does.
      if (lines) { done[$1] = 1; seen = 1 }
    }
    END { print seen ? "nobody" : "unsure" }' | {
    while read -r word bound; do
      if test "$word" != at; then echo "$word"; exit; fi
      case $bound in
        "$path" | "$real") echo listening; exit;;
        /*) if ! test -e "$bound" || test "$bound" -ef "$path"; then echo listening; exit; fi;;
        *) echo listening; exit;;
      esac
    done
  }
fi
