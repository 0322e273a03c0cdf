/*
 * unit_fold.c
 *		scim_fold(): against data of another origin (fold-cases.txt, see
 *		gen_fold_cases.py), its laws over all code points, UTF-8, cost, lack of
 *		memory.
 */
#include "unit.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core_fold.h"

#ifndef SCIM_TEST_DATA
#define SCIM_TEST_DATA "../data"
#endif

#define MAX_TEXT 512
#define MAX_CODE 0x10FFFF
#define IOTA "\xCE\xB9"

/* ---- strings of code points ---- */

static size_t
put_code(uint32_t cp, char *out)
{
	static const unsigned char lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
	size_t		n = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;

	for (size_t i = n - 1; i > 0; i--)
	{
		out[i] = (char) (0x80 | (cp & 0x3F));
		cp >>= 6;
	}
	out[0] = (char) (lead[n] | cp);
	return n;
}

/* "41 30A" as UTF-8; returns what follows. */
static const char *
read_codes(const char *s, char *out, size_t *len)
{
	char	   *end;

	*len = 0;
	while (*s != ';' && *s != '\n' && *s != '\0')
	{
		*len += put_code((uint32_t) strtoul(s, &end, 16), out + *len);
		s = end;
		while (*s == ' ')
			s++;
	}
	return *s == ';' ? s + 1 : s;
}

static bool
folds_to(const char *s, size_t len, const char *expected, size_t expected_len)
{
	size_t		n;
	char	   *folded = scim_fold(s, len, &n);
	bool		same = folded != NULL && n == expected_len && memcmp(folded, expected, n) == 0 && folded[n] == '\0';

	scim_free(folded);
	return same;
}

/* A folded string is valid and folds to itself. */
static bool
is_fixed(const char *s, size_t len)
{
	size_t		n;
	char	   *folded = scim_fold(s, len, &n);
	bool		fixed = folded != NULL && scim_utf8_valid(folded, n, NULL) && folds_to(folded, n, folded, n);

	scim_free(folded);
	return fixed;
}

/* ---- tests ---- */

static void
test_data(void)
{
	FILE	   *file = fopen(SCIM_TEST_DATA "/fold-cases.txt", "r");
	char		line[4096];
	char		text[4][MAX_TEXT];
	size_t		len[4];
	int			cases = 0;

	unit_check(file != NULL, "fold-cases.txt is there");
	while (file != NULL && fgets(line, sizeof(line), file))
	{
		const char *s = line;

		if (line[0] == '#')
			continue;
		for (int i = 0; i < 4; i++)
		{
			s = read_codes(s, text[i], &len[i]);
			if (len[i] == 0)
				memcpy(text[i], text[0], len[i] = len[0]);
		}
		line[strcspn(line, "\n")] = '\0';
		unit_check(folds_to(text[0], len[0], text[3], len[3]), "fold: %s", line);
		unit_check(folds_to(text[1], len[1], text[3], len[3]), "fold of NFC: %s", line);
		unit_check(folds_to(text[2], len[2], text[3], len[3]), "fold of NFD: %s", line);
		unit_check(is_fixed(text[0], len[0]), "fold of fold: %s", line);
		cases++;
	}
	if (file)
		fclose(file);
	printf("fold-cases.txt: %d strings, Unicode %s\n", cases, scim_fold_unicode_version());
	unit_check(cases > 9000, "%d strings", cases);
}

/* What fold() is for, said with strings that people know. */
static void
test_known(void)
{
	static const struct
	{
		const char *a;
		const char *b;
		bool		same;
	}			pairs[] = {
		{"", "", true},
		{"ABC xyz 09", "abc XYZ 09", true},
		{"a", "b", false},
		{"\xC3\x85sa", "\xC3\xA5SA", true},	/* Åsa */
		{"A\xCC\x8A", "\xE2\x84\xAB", true},	/* A with ring; angstrom sign */
		{"stra\xC3\x9F" "e", "STRASSE", true},
		{"\xE1\xBA\x9E", "ss", true},	/* capital sharp s */
		{"\xCE\xA3", "\xCF\x82", true},	/* sigma, final sigma */
		{"I", "\xC4\xB1", false},	/* dotless i is a letter of its own */
		{"i", "\xC4\xB0", false},	/* I with dot: i and the dot */
		{"i\xCC\x87", "\xC4\xB0", true},
		{"\xEF\xBC\xA1", "a", true},	/* full-width A */
		{"\xEF\xBD\xB1", "\xE3\x82\xA2", true},	/* half-width katakana */
		{"\xEF\xAC\x83", "ffi", true},	/* ligature: case folding, not compatibility */
		{"\xC2\xB2", "2", false},	/* superscript: compatibility only */
		{"\xEA\xB0\x80", "\xE1\x84\x80\xE1\x85\xA1", true},	/* Hangul */
		{"\xF0\x90\x90\x80", "\xF0\x90\x90\xA8", true},	/* Deseret */
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
	{
		size_t		n;
		char	   *b = scim_fold(pairs[i].b, strlen(pairs[i].b), &n);

		unit_check(folds_to(pairs[i].a, strlen(pairs[i].a), b, n) == pairs[i].same, "pair %d", (int) i);
	}
	unit_check(scim_fold_is_noop_ascii("abc-09", 6), "lower-case ASCII");
	unit_check(!scim_fold_is_noop_ascii("aBc", 3), "upper-case ASCII");
	unit_check(!scim_fold_is_noop_ascii("a\xC3\xA5", 3), "not ASCII");
	unit_check(scim_fold("AB", 2, NULL) != NULL && scim_fold("\xC3\x85", 2, NULL) != NULL, "the length is not asked for");
	scim_arena_reset();
}

/* The laws, for every code point there is. */
static void
test_all(void)
{
	char		text[8];
	int			fixed = 0;
	int			all = 0;

	for (uint32_t cp = 0; cp <= MAX_CODE; cp++)
	{
		if (cp >= 0xD800 && cp <= 0xDFFF)
			continue;
		all++;
		if (is_fixed(text, put_code(cp, text)))
			fixed++;
		else
			unit_check(false, "U+%04X: the fold is not valid, or folds on", cp);
	}
	unit_check(fixed == all, "%d of %d code points", fixed, all);

	/* Hangul by arithmetic (Unicode 3.12): the syllable is the fold of its letters. */
	for (uint32_t s = 0; s < 11172; s++)
	{
		char		letters[16];
		size_t		n = put_code(0x1100 + s / 588, letters);
		size_t		len = put_code(0xAC00 + s, text);

		n += put_code(0x1161 + s % 588 / 28, letters + n);
		if (s % 28)
			n += put_code(0x11A7 + s % 28, letters + n);
		if (!folds_to(letters, n, text, len) || !folds_to(text, len, text, len))
			unit_check(false, "Hangul U+%04X", 0xAC00 + s);
	}
	scim_arena_reset();
}

/*
 * Strings of two and three code points: fold(ab) is fold(fold(a) b).  Iota is
 * the exception: the mark below (U+0345) folds to the letter, behind which no
 * other mark can be sorted before it.
 */
static void
test_sampled(void)
{
	static const struct
	{
		uint32_t	first;
		uint32_t	last;
	}			ranges[] = {
		{0x41, 0x7A}, {0xC0, 0x24F}, {0x300, 0x36F}, {0x370, 0x3FF}, {0x590, 0x5C7}, {0x900, 0x9FF},
		{0x1100, 0x11FF}, {0x1E00, 0x1FFF}, {0x2126, 0x212B}, {0x3040, 0x30FF}, {0xAC00, 0xAC40}, {0xFB00, 0xFB4F},
		{0xFF00, 0xFFEF}, {0x1D15E, 0x1D164}, {0x110B0, 0x110BF}, {0x1F900, 0x1F9FF},
	};
	const int	nranges = sizeof(ranges) / sizeof(ranges[0]);
	uint64_t	seed = 7643;
	int			good = 0;
	const int	all = 60000;

	for (int i = 0; i < all; i++)
	{
		char		text[16];
		char		mixed[MAX_TEXT];
		size_t		len = 0;
		size_t		first = 0;
		size_t		n;
		size_t		whole_len;
		char	   *folded;
		char	   *whole;

		for (int j = 0; j < 2 + i % 2; j++)
		{
			uint32_t	r;

			seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
			r = (uint32_t) (seed >> 33);
			len += put_code(ranges[r % nranges].first +
							r / nranges % (ranges[r % nranges].last - ranges[r % nranges].first + 1), text + len);
			if (j == 0)
				first = len;
		}
		folded = scim_fold(text, first, &n);
		memcpy(mixed, folded, n);
		memcpy(mixed + n, text + first, len - first);
		whole = scim_fold(text, len, &whole_len);
		if (!is_fixed(text, len))
			unit_check(false, "sample %d folds on", i);
		else if (!folds_to(mixed, n + len - first, whole, whole_len) && !strstr(whole, IOTA))
			unit_check(false, "sample %d: its first character folded before is another string", i);
		else
			good++;
		scim_free(folded);
		scim_free(whole);
	}
	unit_check(good == all, "%d of %d samples", good, all);
}

static void
test_utf8(void)
{
	static const struct
	{
		const char *text;
		int			bad;		/* -1: valid */
	}			cases[] = {
		{"", -1}, {"a", -1}, {"\x7F", -1}, {"\xC2\x80", -1}, {"\xDF\xBF", -1}, {"\xE0\xA0\x80", -1}, {"\xED\x9F\xBF", -1},
		{"\xEE\x80\x80", -1}, {"\xEF\xBF\xBF", -1}, {"\xF0\x90\x80\x80", -1}, {"\xF4\x8F\xBF\xBF", -1},
		{"a\x80", 1}, {"\xBF", 0}, {"\xC0\x80", 0}, {"\xC1\xBF", 0}, {"ab\xC2", 2}, {"\xC2\x7F", 0}, {"\xC2\xC0", 0},
		{"\xE0\x9F\xBF", 0}, {"\xED\xA0\x80", 0}, {"\xED\xBF\xBF", 0}, {"\xE2\x82", 0}, {"\xE2\x82\x41", 0}, {"\xE2", 0},
		{"\xF0\x8F\xBF\xBF", 0}, {"\xF4\x90\x80\x80", 0}, {"\xF5\x80\x80\x80", 0}, {"\xFF", 0}, {"\xFE", 0},
		{"\xF0\x9F\x98", 0}, {"\xF0\x9F\x98\x80\xF0\x9F", 4}, {"\xF0\x9F\x28\x80", 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		size_t		bad = 99;
		bool		valid = scim_utf8_valid(cases[i].text, strlen(cases[i].text), &bad);

		unit_check(valid == (cases[i].bad < 0) && (valid || (int) bad == cases[i].bad), "UTF-8 case %d: %d, %d", (int) i,
				   (int) valid, (int) bad);
		unit_check(scim_utf8_valid(cases[i].text, strlen(cases[i].text), NULL) == valid, "UTF-8 case %d, no offset", (int) i);
	}
	unit_check(scim_utf8_valid("a\0b", 3, NULL), "U+0000 is a character");
	unit_check(scim_fold("\xC3\x85\xFF", 3, NULL) == NULL, "what is not UTF-8 has no fold");
	scim_arena_reset();
}

static double
seconds_to_fold(const char *s, size_t len, bool *fixed)
{
	struct timespec from;
	struct timespec to;
	size_t		n;
	char	   *folded;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	folded = scim_fold(s, len, &n);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	*fixed = folded != NULL && folds_to(folded, n, folded, n);
	scim_arena_reset();
	return (double) (to.tv_sec - from.tv_sec) + (double) (to.tv_nsec - from.tv_nsec) / 1e9;
}

/* The longest string there may be, of nothing but marks in the worst order. */
static void
test_cost(void)
{
	static const char *const parts[] = {
		"\xCC\x81\xCC\xA3",		/* acute, dot below: the reverse of their order */
		"\xCD\xA0\xCC\xB4",		/* the highest class, the lowest */
		"\xCE\x90",				/* three code points each */
		"\xEF\xAC\x83",			/* ffi */
		"\xF0\x9D\x85\xA0",		/* a musical symbol of three */
		"\xEA\xB0\x81",			/* Hangul */
	};
	const size_t size = 256 * 1024;
	char	   *text = malloc(size);

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
	{
		size_t		n = strlen(parts[i]);
		size_t		len = 0;
		double		seconds;
		bool		fixed;

		for (; len + n <= size; len += n)
			memcpy(text + len, parts[i], n);
		seconds = seconds_to_fold(text, len, &fixed);
		unit_check(fixed, "long string %d: folds on", (int) i);
		unit_check(seconds < 1.0, "long string %d: %.2f s", (int) i, seconds);
	}
	free(text);
}

/* Without memory the answer is NULL; it never comes out wrong. */
static void
test_torture(void)
{
	static const char *const texts[] = {"ABC", "\xC3\x85sa A\xCC\xA3\xCC\x8A", "x\xCC\x81\xCC\xA3\xCE\x90\xEA\xB0\x81\xEF\xBC\xA1"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
	{
		char		many[40 * 32] = "";
		size_t		n;
		size_t		len;
		char	   *folded;
		char	   *whole;
		long		total;

		for (int j = 0; j < 40; j++)
			strcat(many, texts[i]);
		scim_alloc_fail_at(0);
		whole = scim_fold(many, strlen(many), &len);
		total = scim_alloc_count();
		for (long k = 1; k <= 2 * total; k++)
		{
			if (k <= total)
				scim_alloc_fail_at(k);
			else
				scim_alloc_fail_once(k - total);
			folded = scim_fold(many, strlen(many), &n);
			unit_check(folded == NULL && scim_alloc_failed(), "text %d, allocation %ld", (int) i, k);
		}
		scim_alloc_fail_at(0);
		unit_check(whole != NULL && folds_to(many, strlen(many), whole, len), "text %d: the same again", (int) i);
		scim_arena_reset();
	}
}

int
main(void)
{
	unit_run("data", test_data);
	unit_run("known", test_known);
	unit_run("all", test_all);
	unit_run("sampled", test_sampled);
	unit_run("utf8", test_utf8);
	unit_run("cost", test_cost);
	unit_run("torture", test_torture);
	return unit_finish();
}
