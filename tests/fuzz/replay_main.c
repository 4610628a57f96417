/* Runs a fuzz target over the files given, and those in the folders given, without libFuzzer: any compiler,
 * any sanitizer, in ctest. A target that finds something ends the program, as under the fuzzer; the last file
 * named is it. */
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned replayed;

static int read_file(const char *path, uint8_t *data, size_t size)
{
	FILE *file = fopen(path, "rb");
	if (!file)
		return -1;
	size_t got = fread(data, 1, size, file);
	return fclose(file) == 0 && got == size ? 0 : -1;
}

/* The input lies in a block of its own length, so that a read behind it is seen by the sanitizer. */
static int replay_file(const char *path, const struct stat *info, int kind, struct FTW *where)
{
	(void)where;
	if (kind != FTW_F)
		return kind == FTW_D ? 0 : -1;
	size_t size = (size_t)info->st_size;
	uint8_t *data = malloc(size > 0 ? size : 1);
	printf("%s\n", path);
	(void)fflush(stdout);
	int err = data ? read_file(path, data, size) : -1;
	if (err == 0)
		LLVMFuzzerTestOneInput(data, size);
	free(data);
	replayed++;
	return err;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (nftw(argv[i], replay_file, 8, FTW_PHYS) != 0) {
			perror(argv[i]);
			return EXIT_FAILURE;
		}
	}
	printf("%u inputs replayed\n", replayed);
	return replayed > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
