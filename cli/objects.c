/* put, get, rm, info: one object at a time. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <padstone/base_store.h>

#include "base/fail.h"
#include "base/files.h"
#include "cli/progress.h"

/* All of fd into the writer. */
static int copy_in(struct cli_progress *progress, int fd, const char *name, ps_writer *w, uint64_t *size)
{
	char *buf = malloc(CLI_STREAM_BYTES);
	uint64_t done = 0;
	size_t got = 1;
	int err = buf == NULL ? ps_fail(PS_ENOMEM, "no memory for a buffer") : PS_OK;

	while (err == PS_OK && got > 0) {
		err = ps_file_read(fd, name, buf, CLI_STREAM_BYTES, &got);
		if (err == PS_OK && got > 0)
			err = ps_writer_write(w, buf, got);
		done += got;
		progress_update(progress, done);
		if (err == PS_OK && cli_interrupted())
			err = ps_fail(PS_ECANCELED, "interrupted; nothing was stored");
	}
	free(buf);
	if (err == PS_OK)
		*size = done;
	return err;
}

static int put_from(struct cli *cli, ps_storer *s, int fd, uint64_t expected, ps_id *id, uint64_t *size)
{
	struct cli_progress progress;
	ps_writer *w;
	/* The length of a file may change while it is read, so it is only used for the bar. */
	int err = ps_open_writer(s, PS_ID_NONE, PS_SIZE_UNKNOWN, &w);

	if (err != PS_OK)
		return err;
	progress_begin(&progress, cli, "put", expected);
	*id = ps_writer_id(w);
	err = copy_in(&progress, fd, cli->operands[0], w, size);
	if (err == PS_OK)
		err = ps_writer_finish(w);
	else
		(void)ps_writer_abort(w);
	progress_end(&progress, cli);
	return err;
}

static int put_run(struct cli *cli, ps_storer *s)
{
	const char *name = cli->operands[0];
	bool standard = strcmp(name, "-") == 0;
	struct stat st = {0};
	uint64_t size = 0;
	ps_id id = PS_ID_NONE;
	int fd = standard ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC), err;

	if (fd < 0)
		return cli_fail(cli, ps_fail_errno(errno, "cannot open '%s'", name), NULL);
	(void)fstat(fd, &st);
	if (S_ISDIR(st.st_mode))
		err = ps_fail(PS_EINVAL, "'%s' is a folder: `padstone import' stores folders", name);
	else
		err = put_from(cli, s, fd, S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0, &id, &size);
	if (!standard)
		close(fd);
	if (err != PS_OK)
		return cli_fail(cli, err, NULL);
	if (cli->json)
		cli_json(cli, json_pack("{s:I, s:I}", "id", (json_int_t)id, "size", (json_int_t)size));
	else
		printf("%" PRIu64 "\n", id);
	return CLI_DONE;
}

int cli_run_put(struct cli *cli)
{
	return cli_with_store(cli, PS_OPEN_EXISTING, put_run);
}

static int copy_out(struct cli_progress *progress, ps_reader *r, int fd, const char *name)
{
	char *buf = malloc(CLI_STREAM_BYTES);
	uint64_t done = 0;
	size_t got = 1;
	int err = buf == NULL ? ps_fail(PS_ENOMEM, "no memory for a buffer") : PS_OK;

	while (err == PS_OK && got > 0) {
		err = ps_reader_read(r, buf, CLI_STREAM_BYTES, &got);
		if (err == PS_OK)
			err = ps_file_write(fd, name, buf, got);
		done += got;
		progress_update(progress, done);
		if (err == PS_OK && cli_interrupted())
			err = ps_fail(PS_ECANCELED, "interrupted");
	}
	free(buf);
	return err;
}

static int get_to(struct cli *cli, ps_storer *s, ps_id id, uint64_t size, int fd, const char *name)
{
	struct cli_progress progress;
	ps_reader *r;
	int err = ps_open_reader(s, id, &r);

	if (err != PS_OK)
		return err;
	progress_begin(&progress, cli, "get", size);
	err = copy_out(&progress, r, fd, name);
	(void)ps_reader_finish(r);
	progress_end(&progress, cli);
	return err;
}

/* A temporary name beside FILE, so that FILE is whole or as it was. */
static int get_to_file(struct cli *cli, ps_storer *s, ps_id id, uint64_t size)
{
	struct ps_file_temp temp;
	int err = ps_file_check_target(cli->output);

	if (err == PS_OK)
		err = ps_file_temp_open(AT_FDCWD, cli->output, 0666, &temp);
	if (err != PS_OK)
		return err;
	err = get_to(cli, s, id, size, temp.fd, cli->output);
	if (err == PS_OK)
		return ps_file_temp_keep(&temp, cli->output, true);
	ps_file_temp_drop(&temp);
	return err;
}

static int get_run(struct cli *cli, ps_storer *s)
{
	struct ps_info info;
	ps_id id = PS_ID_NONE;
	int err = cli_parse_id(cli->operands[0], &id);

	if (err == PS_OK)
		err = ps_info(s, id, &info);
	if (err == PS_OK)
		err = cli->output != NULL ? get_to_file(cli, s, id, info.size)
		                          : get_to(cli, s, id, info.size, STDOUT_FILENO, "standard output");
	if (err != PS_OK)
		return cli_fail(cli, err, NULL);
	cli_json(cli, json_pack("{s:I, s:I, s:s?}", "id", (json_int_t)id, "size", (json_int_t)info.size,
	                        "output", cli->output));
	return CLI_DONE;
}

static bool id_is_usable(const char *text)
{
	ps_id id;
	bool usable = cli_parse_id(text, &id) == PS_OK;

	if (!usable)
		fprintf(stderr, "padstone: %s\n", ps_last_error_message());
	return usable;
}

int cli_run_get(struct cli *cli)
{
	if (!id_is_usable(cli->operands[0]))
		return CLI_USAGE;
	return cli_with_store(cli, PS_OPEN_READONLY, get_run);
}

static int delete_one(ps_storer *s, ps_batch *b, const char *text)
{
	struct ps_info info;
	ps_id id;
	int err = cli_parse_id(text, &id);

	if (err == PS_OK)
		err = ps_info(s, id, &info); /* its sentence names the id; the commit's may not */
	if (err == PS_OK)
		err = ps_batch_delete(b, id);
	return err;
}

static int rm_run(struct cli *cli, ps_storer *s)
{
	ps_batch *b;
	int err = ps_batch_begin(s, &b);

	if (err != PS_OK)
		return cli_fail(cli, err, NULL);
	for (int i = 0; i < cli->operand_count && err == PS_OK; i++)
		err = delete_one(s, b, cli->operands[i]);
	if (err == PS_OK)
		err = ps_batch_commit(b, PS_DURABLE);
	else
		(void)ps_batch_abort(b);
	if (err != PS_OK)
		return cli_fail(cli, err, cli->operand_count > 1 ? "nothing was deleted" : NULL);
	cli_json(cli, json_pack("{s:i}", "deleted", cli->operand_count));
	return CLI_DONE;
}

int cli_run_rm(struct cli *cli)
{
	if (cli->operand_count == 0) {
		fprintf(stderr, "padstone: rm needs at least one ID\n");
		return CLI_USAGE;
	}
	for (int i = 0; i < cli->operand_count; i++)
		if (!id_is_usable(cli->operands[i]))
			return CLI_USAGE;
	return cli_with_store(cli, PS_OPEN_EXISTING, rm_run);
}

static int info_run(struct cli *cli, ps_storer *s)
{
	struct ps_info info;
	ps_id id = PS_ID_NONE;
	char checksum[17];
	int err = cli_parse_id(cli->operands[0], &id);

	if (err == PS_OK)
		err = ps_info(s, id, &info);
	if (err != PS_OK)
		return cli_fail(cli, err, NULL);
	snprintf(checksum, sizeof(checksum), "%016" PRIx64, info.checksum);
	if (cli->json) {
		cli_json(cli,
		         json_pack("{s:I, s:I, s:I, s:I, s:s, s:I, s:I}", "id", (json_int_t)id, "size",
		                   (json_int_t)info.size, "allocated", (json_int_t)info.allocated, "offset",
		                   (json_int_t)info.offset, "checksum", checksum, "generation",
		                   (json_int_t)info.generation, "allocator", (json_int_t)info.allocator));
		return CLI_DONE;
	}
	printf("id          %" PRIu64 " (slot %" PRIu64 ", generation %u)\n", id, id >> 24, info.generation);
	printf("size        %" PRIu64 " bytes\n", info.size);
	printf("allocated   %" PRIu64 " bytes\n", info.allocated);
	printf("offset      %" PRIu64 "\n", info.offset);
	printf("allocator   %u%s\n", info.allocator, info.allocator == 0 ? " (root)" : "");
	printf("checksum    %s\n", checksum);
	return CLI_DONE;
}

int cli_run_info(struct cli *cli)
{
	if (!id_is_usable(cli->operands[0]))
		return CLI_USAGE;
	return cli_with_store(cli, PS_OPEN_READONLY, info_run);
}
