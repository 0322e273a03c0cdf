/*
 * replay_main.c
 *		Runs a fuzzer's function once on each file that is named, without
 *		libFuzzer: what was found once is tried again, with any compiler.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_INPUT (4 * 1024 * 1024)

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
main(int argc, char **argv)
{
	int			i;

	for (i = 1; i < argc; i++)
	{
		FILE	   *file = fopen(argv[i], "rb");
		uint8_t    *buf = malloc(MAX_INPUT);
		uint8_t    *exact;
		size_t		n;

		if (file == NULL || buf == NULL)
		{
			perror(argv[i]);
			return 1;
		}
		n = fread(buf, 1, MAX_INPUT, file);
		fclose(file);
		/* no byte more than there is: reading on is seen */
		exact = malloc(n ? n : 1);
		if (exact == NULL)
			return 1;
		for (size_t k = 0; k < n; k++)
			exact[k] = buf[k];
		free(buf);
		fprintf(stderr, "%s\n", argv[i]);
		LLVMFuzzerTestOneInput(exact, n);
		free(exact);
	}
	printf("%d passed, 0 failed\n", argc - 1);
	return 0;
}
