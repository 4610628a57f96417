# Part of remote_test.sh: what takes longer.

# interrupt TEXT COMMAND…: by Ctrl-C after a moment, or after a longer one where it has not come so far by then that it
# says TEXT, each longer than the last by less than the command takes. To be run by expect.
interrupt() {
	text=$1
	shift
	for moment in 0.6 1.2 2.4 4.8 10 16 22 28 34 40 46; do
		timeout --foreground -s INT "$moment" "$@"
		[ $? = 124 ] || return 1
		grep -qF -- "$text" err && return 0
	done
	return 1
}

# Puts of 100 pads are killed with SIGKILL, or interrupted, again and again: each goes on where the last one was.
killed() {
	head -c 13000000 /dev/urandom >hundred
	python3 - "$tool" <<'END' || failures=$((failures + 1))
import json, os, random, signal, subprocess, sys, time

tool = sys.argv[1]
random.seed(8128)
BUSY = 4 # the tool's exit status, after a second
PROMPTLY = 30 # s; on a machine that has time it is within one

def command(name, *rest):
    return [tool, "remote", name, "--network", "dir:net", "--key", "key", "--json", *rest]

def run(name, *rest):
    done = subprocess.run(command(name, *rest), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return done.returncode, json.loads(done.stdout.splitlines()[-1]), done.stderr

def die(what):
    sys.exit("FAILED: " + what)

def verify():
    """What a killed process had under way the kernel may still be writing, and holds the lock for it: on a slow disk for long."""
    for n in range(300):
        status = run("verify")[0]
        if status != BUSY:
            break
    return status

def hears(pid, how):
    """Whether it has a handler for the signal by now."""
    try:
        with open("/proc/%d/status" % pid) as status:
            caught = next(line for line in status if line.startswith("SigCgt:"))
    except (OSError, StopIteration):
        return False
    return int(caught.split()[1], 16) >> (how - 1) & 1

def look(name):
    """Its pads that are confirmed, and whether they are all."""
    status, about, err = run("stat", name)
    if status == 3:
        return 0, False
    if status != 0:
        die("stat: status %d: %s" % (status, err))
    return (about["pads"], True) if about["complete"] else (about["next_confirmed"], False)

def pads_there():
    return sum(len(files) for folder, _, files in os.walk("net") if os.path.basename(folder) != "tmp")

def put(name, how, rate):
    """Until one comes to its end before it is stopped, each after some more pads."""
    stopped, before, said = 0, 0, 0
    for n in range(100):
        enough = pads_there() + random.randint(0 if how == signal.SIGKILL else 1, 20)
        process = subprocess.Popen(command("put", "--mode", "small", "--up", rate, name, "hundred"),
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while process.poll() is None and (how == signal.SIGINT and not hears(process.pid, how) or pads_there() < enough):
            time.sleep(0.005)
        try:
            process.wait(random.uniform(0, 0.1))
        except subprocess.TimeoutExpired:
            process.send_signal(how)
        asked = time.monotonic()
        out, err = process.communicate()
        took = time.monotonic() - asked
        if process.returncode == 0:
            if how == signal.SIGINT and stopped > 0 and said == 0:
                die("Ctrl-C does not say that it goes on")
            return stopped, before, json.loads(out.splitlines()[-1])
        stopped += 1
        if how == signal.SIGINT:
            if process.returncode != 1 or took > PROMPTLY:
                die("Ctrl-C: status %d after %.2f s: %s" % (process.returncode, took, err))
            said += "goes on where it was" in err
        elif process.returncode != -9:
            die("killed, and status %d: %s" % (process.returncode, err))
        if verify() != 0:
            die("the index does not agree with itself after stop %d" % stopped)
        now, complete = look(name)
        if now < before:
            die("%d pads were confirmed, and %d are after stop %d" % (before, now, stopped))
        if complete: # stopped behind its end
            return stopped, before, {"kept_pads": now, "pads": now}
        before = now
    die("it never ends")

for name, how in (("killed", signal.SIGKILL), ("interrupted", signal.SIGINT)):
    # Where this script has less of the machine than the tool, one that is slower.
    for rate, which in (("3M", ""), ("1M", ", slower"), ("300K", ", slowest")):
        stopped, before, done = put(name + which, how, rate)
        if done["kept_pads"] < before or done["pads"] != 100:
            die("%s: %d pads were confirmed before, and then %s" % (name, before, done))
        if stopped >= 2 and before > 0:
            break
    else:
        die("%s: stopped only %d times, at %d pads" % (name, stopped, before))
    print("%s: stopped %d times, then %d pads were there already" % (name, stopped, done["kept_pads"]))
END
	for name in killed interrupted; do
		expect 0 "get" remote get $name
		holds "is the same" cmp hundred out
	done
	expect 0 "reading all" remote health --read
	expect 0 "an update is interrupted" interrupt "goes on where it was" "$tool" remote put --replace --mode small --up 2M --network dir:net --key key killed - </dev/zero
	says "and says so" "goes on where it was"
	expect 0 "get" remote get killed
	holds "is the old one" cmp hundred out
	expect 0 "release" remote release killed
	expect 0 "get" remote get killed
	holds "is still the old one" cmp hundred out
	expect 0 "get is interrupted" interrupt "no file was written" "$tool" remote get --down 2M --network dir:net --key key killed -o half
	says "and says so" "no file was written"
	holds "nor is one" sh -c 'test ! -e half && ! ls -A | grep -q "^\.padstone"'
	mkfifo quiet
	exec 9<>quiet
	expect 0 "nothing comes from a pipe" interrupt "interrupted" "$tool" remote put --network dir:net --key key quiet - <&9
	exec 9>&-
	says "and Ctrl-C is heard" "interrupted"
}

# Who changes what an address shows is killed, again and again: a reader sees the one value or the other, whole.
killed_addresses() {
	python3 - "$tool" <<'END' || failures=$((failures + 1))
import json, os, random, signal, subprocess, sys

tool = sys.argv[1]
random.seed(496)
reader = dict(os.environ, PADSTONE_HOME=os.path.abspath("reader"))
values = [os.urandom(1500000 + n) for n in range(2)]
for n, value in enumerate(values):
    with open("shown%d" % n, "wb") as file:
        file.write(value)

def command(name, *rest):
    return [tool, "remote", name, "--network", "dir:net", "--key", "key", "--json", *rest]

def die(what):
    sys.exit("FAILED: " + what)

def verify():
    """As above."""
    for n in range(300):
        status = subprocess.run(command("verify"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
        if status != 4:
            break
    return status

def fetch(address):
    done = subprocess.run([tool, "remote", "fetch", address, "--network", "dir:net"], env=reader,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode not in (0, 3):
        die("fetch: status %d: %s" % (done.returncode, done.stderr.decode()))
    return done.stdout if done.returncode == 0 else None

def until_done(seen, done, *args):
    """Returns how often it was killed; seen() looks after each time. done: what it says where it was killed behind its end."""
    for kills in range(40):
        process = subprocess.Popen(command(*args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            process.wait(random.uniform(0.05, 0.5) * 1.15 ** kills)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        out, err = process.communicate()
        seen()
        if process.returncode == 0 or (kills and done and done in err):
            return kills
        if process.returncode != -9:
            die("%s: status %d: %s" % (args[0], process.returncode, err))
        if verify() != 0:
            die("the index does not agree with itself after %s was killed" % args[0])
    die(args[0] + " never ends")

first = subprocess.run(command("put", "--public", "--mode", "small", "shown", "shown0"), stdout=subprocess.PIPE, text=True)
address = json.loads(first.stdout)["address"]
kills = 0
for n in range(1, 7):
    def whole():
        if fetch(address) not in values:
            die("neither the old value nor the new one")
    kills += until_done(whole, None, "update", "--mode", "small", "--up", "3M", "shown", "shown%d" % (n % 2))
    if fetch(address) != values[n % 2]:
        die("the update ended, and the address does not show it")

def whole_or_gone():
    if fetch(address) not in (values[0], None):
        die("neither the value nor that it was taken back")
kills += until_done(whole_or_gone, "is not public", "unpublish", "--mode", "small", "--up", "3M", "shown")
if fetch(address) is not None:
    die("unpublish ended, and the address shows a value")
if kills < 4:
    die("only %d kills" % kills)
print("killed %d times while an address changed" % kills)
END
	expect 0 "get" remote get shown
	holds "is the last one" cmp shown0 out
}

# A server that takes connections and says nothing.
silent() {
	python3 - "$tool" <<'END' || failures=$((failures + 1))
import os, signal, socket, subprocess, sys, time
server = socket.create_server(("127.0.0.1", 0))
url = "s3://bucket/x?endpoint=http://127.0.0.1:%d&region=us-east-1" % server.getsockname()[1]
environment = dict(os.environ, AWS_ACCESS_KEY_ID="nobody", AWS_SECRET_ACCESS_KEY="nothing")
process = subprocess.Popen([sys.argv[1], "remote", "ls", "--network", url, "--key", "key"], env=environment,
                           stderr=subprocess.PIPE, text=True)
server.settimeout(240)
try:
    connection = server.accept()
except TimeoutError:
    process.kill()
if process.poll() is not None:
    if "built without" in process.stderr.read():
        sys.exit(print("skipped: a silent server (needs s3:)"))
    sys.exit("FAILED: nothing is asked of a server")
asked = time.monotonic()
process.send_signal(signal.SIGINT)
_, err = process.communicate()
took = time.monotonic() - asked
if process.returncode != 1 or took > 30 or "interrupted" not in err:
    sys.exit("FAILED: Ctrl-C while a server is silent: status %d after %.2f s: %s" % (process.returncode, took, err))
END
}

full_disk() {
	mkdir small
	if [ "$(id -u)" != 0 ] || ! mount -t tmpfs -o size=6m tmpfs small 2>/dev/null; then
		echo "skipped: full disks (needs root and tmpfs)"
		return
	fi
	mounted=1
	expect 0 "init on a small network" "$tool" remote init --create --network dir:small/net --key key
	expect 0 "put" "$tool" remote put --mode small --network dir:small/net --key key two key
	expect 6 "put of too much" "$tool" remote put --mode small --network dir:small/net --key key big hundred
	says "says so" "No space left"
	expect 0 "what was there is read" "$tool" remote get --network dir:small/net --key key two
	holds "is the same" cmp key out
	expect 0 "more space" mount -o remount,size=40m "$work/small"
	expect 0 "the same put goes on" "$tool" remote put --json --mode small --network dir:small/net --key key big hundred
	holds "some of it was there" sh -c 'grep -qE "\"kept_pads\":[1-9]" out'
	expect 0 "get" "$tool" remote get --network dir:small/net --key key big
	holds "is the same" cmp hundred out
	expect 0 "too little again" sh -c "head -c \$((\$(df --output=avail -B1 small | tail -1) - 100000)) /dev/zero >small/fill"
	expect 6 "get -o on a full disk" "$tool" remote get --network dir:small/net --key key big -o small/big
	holds "leaves no file" sh -c 'test ! -e small/big && ! ls -A small | grep -q "^\.padstone"'
	umount small && mounted=
}

passphrases() {
	echo 'open sesame' >right && echo 'open sesamf' >wrong
	cp key locked && chmod 600 locked
	"$tool" key passphrase -q --new-passphrase-file right locked || exit 1
	expect 0 "the right one" "$tool" remote ls --network dir:net --key locked --passphrase-file right
	holds "opens the same store" grep -q killed out
	expect 1 "the wrong one" "$tool" remote ls --json --network dir:net --key locked --passphrase-file wrong
	member error PS_EAUTH
	expect 1 "none, and nobody to ask" setsid "$tool" remote ls --network dir:net --key locked
	expect 1 "one where there is none" "$tool" remote ls --network dir:net --key key --passphrase-file right
	"$tool" key read-only -q key reader.key || exit 1
	expect 0 "a key that reads" "$tool" remote ls --network dir:net --key reader.key
}

# On 80 columns every bar fits, and goes again.
terminal() {
	python3 - "$tool" <<'END' || failures=$((failures + 1))
import fcntl, os, pty, re, struct, sys, termios
tool = sys.argv[1]
for words in (["put", "--mode", "small", "--up", "5M", "seen", "hundred"], ["get", "--down", "5M", "seen", "-o", "seen"]):
    child, terminal = pty.fork()
    if child == 0:
        fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        os.execv(tool, [tool, "remote", words[0], "--network", "dir:net", "--key", "key", *words[1:]])
    shown = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0:
        sys.exit("FAILED: %s on a terminal: %r" % (words[0], shown))
    plain = re.sub(rb"\x1b\[3?[0-9]*m", b"", shown)
    bars = [bar for bar in re.split(rb"\r\x1b\[K|\r\n", plain) if b"#" in bar]
    if len(bars) < 3 or max(len(bar) for bar in bars) > 79 or not all(b"/100 pads" in bar for bar in bars):
        sys.exit("FAILED: %s draws %r" % (words[0], bars))
    if not re.search(rb"\r\x1b\[K[^#]*$", plain):
        sys.exit("FAILED: the bar of %s stays: %r" % (words[0], plain[-200:]))
    print("%s: %d bars of at most %d columns" % (words[0], len(bars), max(len(bar) for bar in bars)))
END
	holds "the file is the same" cmp hundred seen
}

interrupted() {
	make_store
	killed
	killed_addresses
	silent
	full_disk
	passphrases
	terminal
}
