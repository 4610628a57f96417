/* Which commands there are on networks, with the options of each and what `padstone help' says of them. */
#include <argp.h>

#include "cli/remote/option_keys.h"
#include "cli/remote/remote.h"

/* Which network, what it is to the command, and its key. */
#define NETWORK(what)                                                                                        \
	{"network", KEY_NETWORK, "URL", 0, what " (default: PADSTONE_NETWORK)", 2},                          \
	    {"key", KEY_KEY, "FILE", 0, "The key file (default: PADSTONE_KEY)", 2},                          \
	{                                                                                                    \
		"passphrase-file", KEY_PASSPHRASE_FILE, "FILE|FD", 0,                                        \
		    "The key file's passphrase is the first line of FILE, or of this descriptor", 2          \
	}
#define DOWN                                                                                                 \
	{                                                                                                    \
		"down", KEY_DOWN, "SIZE", 0, "At most so many bytes a second from the network", 2            \
	}

static const struct argp_option where_options[] = {
    {NULL, 0, NULL, 0, "Which store, and how:", 2},
    NETWORK("Where the pads are"),
    {"store", KEY_STORE, "NAME", 0, "One key holds many stores (default: main)", 2},
    {"up", KEY_UP, "SIZE", 0, "At most so many bytes a second to the network", 2},
    DOWN,
    {"expect-head", KEY_EXPECT_HEAD, "CODE", 0,
     "Take nothing from a network whose head does not go back to this head code", 2},
    {"witness", KEY_WITNESS, "URL", 0,
     "Take nothing from a network whose head does not go back to that of its copy at URL", 2},
    {"fallback", KEY_FALLBACK, "URL", 0,
     "Read, and repair, from the copy at URL what the network lost (default: the witness)", 2},
    {"inflight", KEY_INFLIGHT, "SIZE", 0, "Bytes on their way at a time (default: 128M)", 2},
    {0}};

#define AWAY                                                                                                 \
	{NULL, 0, NULL, 0, "Where contents are that have left the file (`padstone evict'):", 2},             \
	    NETWORK("The network that it was pushed to"),                                                    \
	    {"store", KEY_STORE, "NAME", 0, "The store there that it was pushed as (default: main)", 2},     \
	    DOWN,                                                                                            \
	{                                                                                                    \
		"fallback", KEY_FALLBACK, "URL", 0, "Read from the copy at URL what the network lost", 2     \
	}
static const struct argp_option away_options[] = {AWAY, {0}};
static const struct argp_option look_options[] = {
    AWAY,
    {"at", KEY_AT, "STATE", 0,
     "Work on the pushed state STATE, as `padstone history' lists them, instead of STORE's file, which is "
     "not "
     "looked at and need not be there: what is fetched lies in its folder until the command ends",
     2},
    {0}};

#define MODE                                                                                                 \
	{                                                                                                    \
		"mode", KEY_MODE, "SIZE", 0,                                                                 \
		    "Pads that are small (128K), medium (2M, default) or large (8M)", 0                      \
	}
#define RATES                                                                                                \
	{                                                                                                    \
		"rates", KEY_RATES, "PAD,REQ,UP,DOWN", 0,                                                    \
		    "Prices of a new pad, a request, a GiB up and a GiB down", 0                             \
	}
#define LIMITS                                                                                               \
	{"max-pads", KEY_MAX_PADS, "N", 0, "Do not begin if it takes more pads than N", 0},                  \
	{                                                                                                    \
		"max-cost", KEY_MAX_COST, "PRICE", 0, "Do not begin if it costs more, by --rates", 0         \
	}
#define DRY_RUN(what)                                                                                        \
	{                                                                                                    \
		"dry-run", KEY_DRY_RUN, NULL, 0, what, 0                                                     \
	}
#define VERIFY                                                                                               \
	{                                                                                                    \
		"verify", KEY_VERIFY, "HOW", 0,                                                              \
		    "What confirms a pad: head (default), read, sample (some are read), none", 0             \
	}

#define SENDING MODE, VERIFY, LIMITS, RATES, DRY_RUN("Say what it would take; send nothing")
#define RECEIVING                                                                                            \
	{"output", 'o', "FILE", 0, "Write to FILE, which appears when it is complete", 0},                   \
	{                                                                                                    \
		"range", KEY_RANGE, "FROM:LEN", 0, "LEN bytes from FROM on; without LEN up to the end", 0    \
	}

static const struct argp_option init_options[] = {
    {"create", KEY_CREATE, NULL, 0, "Make the folder (dir:) or bucket (s3:) that the URL names", 0}, {0}};
static const struct argp_option put_options[] = {
    {"replace", KEY_REPLACE, NULL, 0, "Replace what NAME has", 0},
    {"public", KEY_PUBLIC, NULL, 0, "Make it public, and print its address", 0},
    SENDING,
    {0}};
static const struct argp_option update_options[] = {SENDING, {0}};
static const struct argp_option get_options[] = {
    RECEIVING, {"unverified", KEY_UNVERIFIED, NULL, 0, "Also what is not confirmed yet", 0}, {0}};
static const struct argp_option publish_options[] = {
    {"take-over", KEY_TAKE_OVER, NULL, 0, "Of a public NAME: its address shows this machine's value again",
     0},
    SENDING,
    {0}};
static const struct argp_option unpublish_options[] = {SENDING, {0}};
static const struct argp_option fetch_options[] = {RECEIVING, {0}};
static const struct argp_option rm_options[] = {DRY_RUN("Say what would go; remove nothing"), {0}};
static const struct argp_option size_options[] = {MODE, RATES, {0}};
static const struct argp_option reserve_options[] = {MODE, LIMITS, RATES, {0}};
static const struct argp_option health_options[] = {
    {"read", KEY_READ, NULL, 0, "Fetch and open every pad; without it only look at what is there", 0},
    {"share", KEY_SHARE, "PART", 0, "Only this part of the pads, at random, such as 0.1", 0},
    {"repair-from", KEY_REPAIR_FROM, "FOLDER", 0, "Repair what is lost from the file NAME in FOLDER", 0},
    {0}};

static const struct argp_option drill_options[] = {
    {"compare-with", KEY_COMPARE_WITH, "FOLDER", 0, "Compare each value with the file NAME in FOLDER", 0},
    {0}};
static const struct argp_option gc_options[] = {
    {"apply", KEY_APPLY, NULL, 0, "Delete what may go; without it only say what that is", 0},
    {"age", KEY_AGE, "HOURS", 0, "Between the two times that a pad has to be found (default: 24)", 0},
    {"ignore-silent", KEY_IGNORE_SILENT, NULL, 0,
     "Also if machines were not heard of since: they are gone, or have synced all they have", 0},
    {0}};
static const struct argp_option audit_options[] = {
    {"quick", KEY_QUICK, NULL, 0, "Only list; do not look at the header of every pad", 0}, {0}};
static const struct argp_option sync_options[] = {
    {"tidy", KEY_TIDY, NULL, 0, "Also merge what syncs have left; it may send much", 0}, {0}};
static const struct argp_option copy_options[] = {
    {"to", KEY_TO, "URL", 0, "The second network", 0},
    {"create", KEY_CREATE, NULL, 0, "Make the folder (dir:) or bucket (s3:) that it names", 0},
    {"all", KEY_ALL, NULL, 0, "Look at every pad, not only at what changed since the last copy", 0},
    {"behind", KEY_BEHIND, NULL, 0, "Also over a copy that is more than 256 heads behind", 0},
    LIMITS,
    RATES,
    DRY_RUN("Say what it would take at most; send nothing"),
    {0}};
static const struct argp_option export_options[] = {
    {"replace", KEY_REPLACE, NULL, 0, "Replace files that have other contents", 0},
    {"max-cost", KEY_MAX_COST, "PRICE", 0, "Stop before it costs more, by --rates", 0},
    RATES,
    DRY_RUN("Say what it would fetch at most; write nothing"),
    {0}};
static const struct argp_option import_options[] = {
    MODE, VERIFY, LIMITS, RATES, DRY_RUN("Say what it would take at most; send nothing"), {0}};
static const struct argp_option export_index_options[] = {
    {"replace", KEY_REPLACE, NULL, 0, "Replace a file that is there", 0},
    {"max-cost", KEY_MAX_COST, "PRICE", 0, "Stop before it costs more, by --rates", 0},
    RATES,
    {0}};
static const struct argp_option import_index_options[] = {LIMITS, RATES, {0}};
static const struct argp_option forget_options[] = {{"yes", KEY_YES, NULL, 0, "Do not ask", 0}, {0}};

static const struct argp_option push_options[] = {
    {"history", KEY_HISTORY, "N", 0,
     "Keep N earlier states, to be cloned or read; all before go (default: 0)", 0},
    {"level", KEY_LEVEL, "N", 0, "Compress by zstd's level 1 to 19, or 0: not at all (default: 1)", 0},
    {"take-over", KEY_TAKE_OVER, NULL, 0, "Also if another file holds it: that one pushes no more", 0},
    {0}};
static const struct argp_option clone_options[] = {
    {"state", KEY_STATE, "N", 0, "An earlier state, as `padstone history' lists them", 0},
    {"take-over", KEY_TAKE_OVER, NULL, 0,
     "STORE is the one that pushes from now on; who did so pushes no more", 0},
    {"lazy", KEY_LAZY, NULL, 0,
     "Fetch nothing now: commands on STORE with --network and --key fetch what they touch", 0},
    {"full", KEY_FULL, NULL, 0, "Fetch everything now (default)", 0},
    {0}};
static const struct argp_option evict_options[] = {
    {"to", KEY_GOAL, "SIZE", 0,
     "Stop when contents take at most SIZE of the file (default: all that may leave does)", 0},
    {0}};
static const struct argp_option status_options[] = {
    {"max-lag", KEY_MAX_LAG, "SECONDS", 0, "Fail if the network is behind by more", 0}, {0}};

const struct cli_command cli_pads_commands[] = {
    {"push", "STORE",
     "Bring a store to a network: what changed since the last push.\v"
     "The network is that of `padstone remote init'. Until the command ends, and if it is cut off, the state "
     "of the last push stays there, whole; what was sent is used by the next one. One file pushes a store: "
     "the first that did, or that took over.",
     push_options, 0, 0, cli_run_push},
    {"clone", "STORE",
     "Make a store again, in the file STORE, from network and key.\v"
     "It has every object of the state, under its id; the file appears when it is whole. With --lazy it is "
     "there at once and asks the network for what is touched: that works for as long as the state is kept "
     "there, so of a store that somebody else pushes take it over as well, or all of it.",
     clone_options, 0, 0, cli_run_clone},
    {"evict", "STORE",
     "Let contents leave the file that the network has.\v"
     "What was pushed leaves, least recently used first, and is fetched again as it is touched: every "
     "command on STORE takes --network and --key, too. What was changed since the last push stays. Cut off, "
     "it keeps what it has done, and goes on with the same command.",
     evict_options, 0, 0, cli_run_evict},
    {"history", "",
     "List the states on a network that can be cloned, or read.\v"
     "`padstone push --history N' keeps them. `padstone clone --state STATE' makes one of them again; "
     "`padstone "
     "export --at STATE', and ls, get, info, check and backup, work on it where it is.",
     NULL, 0, 0, cli_run_history},
    {"remote-status", "STORE",
     "Show how far a network is behind a store, and who pushes it.\v"
     "Exit status 1 if it is behind by more than --max-lag: by the time since the last push, if anything was "
     "changed since. What the file knows is told also where the network cannot be asked; the exit status is "
     "that failure's then, if it is not 1. A store that is open elsewhere is busy.",
     status_options, 0, 0, cli_run_remote_status},
    {0}};

const struct cli_command cli_remote_commands[] = {
    {"remote init", "",
     "Make a new, empty store on a network.\v"
     "Nothing is written over: a store that is there, here or on the network, is refused.",
     init_options, 0, 0, cli_run_remote_init},
    {"remote put", "NAME FILE|-",
     "Store a file, or standard input for -, under a name.\v"
     "All or nothing. What was interrupted goes on with the same command: what the network has is not sent "
     "again. Other machines see it after the next sync.",
     put_options, 2, 2, cli_run_remote_put},
    {"remote update", "NAME FILE|-",
     "Replace what a name has; only what changed is sent.\v"
     "What was there can be read until all of the new is confirmed.",
     update_options, 2, 2, cli_run_remote_update},
    {"remote get", "NAME",
     "Write a value to standard output, or to a file with -o.\v"
     "Every byte is verified before it is written. FILE is whole, or as it was.",
     get_options, 1, 1, cli_run_remote_get},
    {"remote publish", "NAME",
     "Make a value public; print the address that reads it.\v"
     "Who has the address reads the value, and what later puts and updates make of it, with no key. It is "
     "written to new pads first.",
     publish_options, 1, 1, cli_run_remote_publish},
    {"remote unpublish", "NAME",
     "Make a public value private; its address ends for good.\v"
     "It is written to new pads first. Who has read it may have kept it.",
     unpublish_options, 1, 1, cli_run_remote_unpublish},
    {"remote fetch", "ADDRESS|-",
     "Write a public value to standard output or, with -o, a file.\v"
     "Needs no key. For - the address is read from standard input, so that no list of processes shows it. "
     "Every byte is verified before it is written. Older than what was fetched here before is refused.",
     fetch_options, 1, 1, cli_run_remote_fetch},
    {"remote ls", "[PREFIX]",
     "List names, with size and time, that begin with PREFIX.\v"
     "Control characters in names are shown as \\n, \\xNN; --json gives names exactly.",
     NULL, 0, 1, cli_run_remote_ls},
    {"remote stat", "NAME", "Show what is known of one name.", NULL, 1, 1, cli_run_remote_stat},
    {"remote stats", "", "Show figures of the whole store.", NULL, 0, 0, cli_run_remote_stats},
    {"remote mv", "OLD NEW",
     "Give a value another name.\v"
     "No pad is touched, unless other machines share the store: then the value is copied to pads of its own. "
     "A NEW that has a value is refused.",
     NULL, 2, 2, cli_run_remote_mv},
    {"remote rm", "NAME...",
     "Remove values.\v"
     "All must be there, or none is removed. Their pads become free, and are used again or purged.",
     rm_options, 1, -1, cli_run_remote_rm},
    {"remote release", "NAME",
     "Give up what an interrupted put or update left.\v"
     "What NAME had before stays as it is.",
     NULL, 1, 1, cli_run_remote_release},
    {"remote sync", "",
     "Bring this machine's index and the network's together.\v"
     "What other machines changed is taken, and what was changed here is sent. Values are sent by put; "
     "others see them after a sync. Names that were changed here and elsewhere keep both contents. A sync "
     "sends little beside what was changed; the parts of the index that this leaves are merged by --tidy, by "
     "purge, or by a sync that has nothing to send.",
     sync_options, 0, 0, cli_run_remote_sync},
    {"remote head-code", "",
     "Show a code for the newest state, to compare it elsewhere.\v"
     "With --expect-head CODE, the code that another machine shows: exit status 5 unless this machine's "
     "state goes back to it.",
     NULL, 0, 0, cli_run_remote_head_code},
    {"remote machines", "", "List the machines that have written to the store.", NULL, 0, 0,
     cli_run_remote_machines},
    {"remote drop-machine", "NAME",
     "Take a machine off the list that never comes back.\v"
     "By its name or its id; syncs. Nothing is left to that machine any more; if it does come back, it has "
     "to forget the store and take it anew.",
     NULL, 1, 1, cli_run_remote_drop_machine},
    {"remote estimate", "SIZE", "Say what a put of so many bytes would take now.", size_options, 1, 1,
     cli_run_remote_estimate},
    {"remote reserve", "PADS", "Make pads until so many are free; later puts use them.", reserve_options, 1,
     1, cli_run_remote_reserve},
    {"remote health", "[NAME]",
     "Look at pads, confirm them, find what is lost, repair it.\v"
     "Exit status 5 if something is lost or wrong and was not repaired.",
     health_options, 0, 1, cli_run_remote_health},
    {"remote purge", "",
     "Find out about pads in doubt, delete what nothing needs.\v"
     "No value loses anything. A pad that cannot be found is forgotten only after several answers, hours "
     "apart.",
     NULL, 0, 0, cli_run_remote_purge},
    {"remote gc", "",
     "Find pads that nothing names any more, and delete them.\v"
     "They are left by a machine that is lost, or by a write that came late. Only what this key has made, "
     "and what two runs of this command find, a day apart, is deleted, and only with --apply. Let every "
     "machine sync in between: what was uploaded and not synced for longer than --age is not known to "
     "others.",
     gc_options, 0, 0, cli_run_remote_gc},
    {"remote audit", "",
     "Show what the network sees of the store.\v"
     "Counts, sizes, what headers say without a key, and what follows from it. Reads only.",
     audit_options, 0, 0, cli_run_remote_audit},
    {"remote verify", "",
     "Check this machine's index, and the log of a pushed store.\v"
     "The index: no pad stands in two places, and all counts agree; that asks no network. The log: what was "
     "shipped behind the newest state is all there, authentic and in its order. Exit status 5 if something "
     "is not. `padstone remote health' looks at the pads of values.",
     NULL, 0, 0, cli_run_remote_verify},
    {"remote drill", "",
     "Restore all from key and network alone, and compare.\v"
     "As a machine would that has nothing else: every value is fetched, verified and thrown away; names that "
     "were synced have to be there. Exit status 5 if anything is not as it should be.",
     drill_options, 0, 0, cli_run_remote_drill},
    {"remote copy", "",
     "Bring a second network to the newest synced state.\v"
     "Pads byte for byte, the head as the last: the copy is a store of its own, a witness (--witness) and "
     "what others fall back to (--fallback). What is there already is not sent again. A copy that is newer, "
     "or another store, is left as it is. Exit status 5 if pads are lost here: all others are copied then.",
     copy_options, 0, 0, cli_run_remote_copy},
    {"remote export", "FOLDER [PREFIX]",
     "Write all values, or those that begin with PREFIX, as files.\v"
     "Slashes in names part folders; what cannot stand in a path is written as %XX, and import understands "
     "it. Files that are the same already are left alone, so an interrupted export goes on. Exit status 5 if "
     "a value cannot be read whole, 1 if files with other contents are in the way.",
     export_options, 1, 2, cli_run_remote_export},
    {"remote import", "FOLDER",
     "Store all files below a folder, by their paths.\v"
     "Values that have the same contents already are left alone, others are replaced, and what no file "
     "stands for stays. Links and special files are skipped. --max-pads and --max-cost are for all files "
     "together.",
     import_options, 1, 1, cli_run_remote_import},
    {"remote export-index", "FILE",
     "Write the index, as it lies on the network, into one file.\v"
     "The newest head and the pads of the index, sealed as they are there: import-index puts them back where "
     "the network lost them. Changes that were not synced are not in it: sync first.",
     export_index_options, 1, 1, cli_run_remote_export_index},
    {"remote import-index", "FILE",
     "Put back what the network lost of the index.\v"
     "FILE is what export-index wrote. The whole file is verified before anything is sent; what is there is "
     "left alone, and what came later is never written over. A file that is older than what this machine has "
     "used is refused: rebuild finds what is newest.",
     import_index_options, 1, 1, cli_run_remote_import_index},
    {"remote rebuild", "",
     "Make a new head for a store whose network lost it.\v"
     "Looks at every pad, and takes the newest whole state of the index that is left, with what this machine "
     "knows. What a network keeps back is not found out: compare what is there with what should be.",
     NULL, 0, 0, cli_run_remote_rebuild},
    {"remote forget", "",
     "Take away what this machine knows; the network stays.\v"
     "Names that were not synced are lost. What was synced is there again when the store is next used, but "
     "without the proof that it is the newest: compare head codes then.",
     forget_options, 0, 0, cli_run_remote_forget},
    {0}};

const struct argp_option *cli_remote_options(void)
{
	return where_options;
}

const struct argp_option *cli_fetch_options(bool only_reads)
{
	return only_reads ? look_options : away_options;
}
