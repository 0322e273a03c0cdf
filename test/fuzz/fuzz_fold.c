/*
 * fuzz_fold.c
 *		libFuzzer: any bytes as two strings to compare without case; the second
 *		one begins behind the first byte FF.
 *
 * Beside crashes these are findings: a fold that is not valid, or folds on;
 * another one because of lack of memory; a fast path that says otherwise than
 * the fold; and an order of values that is not the order of their folds.
 */
#include "../unit/unit_world.h"

#include "core_fold.h"
#include "core_value.h"

#define HEAP_LIMIT		(64 * 1024 * 1024)

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *
try_fold(const char *s, size_t len, size_t *folded_len)
{
	char	   *folded;
	char	   *again;
	size_t		n;
	size_t		bad;

	if (!scim_utf8_valid(s, len, &bad))
	{
		if (bad >= len || !scim_utf8_valid(s, bad, NULL))
			abort();
		scim_fold(s, len, folded_len);	/* anything, but in bounds */
		return NULL;
	}
	folded = scim_fold(s, len, folded_len);
	if (folded == NULL || folded[*folded_len] != '\0' || !scim_utf8_valid(folded, *folded_len, NULL))
		abort();
	again = scim_fold(folded, *folded_len, &n);
	if (again == NULL || n != *folded_len || memcmp(again, folded, n) != 0)
		abort();
	if (scim_fold_is_noop_ascii(s, len) && (*folded_len != len || memcmp(s, folded, len) != 0))
		abort();
	return folded;
}

static int
order(const char *a, size_t alen, const char *b, size_t blen)
{
	int			n = memcmp(a, b, alen < blen ? alen : blen);

	return n != 0 ? (n > 0) - (n < 0) : (alen > blen) - (alen < blen);
}

static int
sign(int n)
{
	return (n > 0) - (n < 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static long turn = 0;
	const char *a = (const char *) data;
	const char *border = size ? memchr(data, 0xFF, size) : NULL;
	size_t		alen = border ? (size_t) (border - a) : size;
	const char *b = border ? border + 1 : a;
	size_t		blen = border ? size - alen - 1 : 0;
	const char *fa;
	const char *fb;
	size_t		falen;
	size_t		fblen;

	scim_arena_reset();
	scim_heap_begin(HEAP_LIMIT);
	scim_alloc_fail_at(0);
	fa = try_fold(a, alen, &falen);
	fb = try_fold(b, blen, &fblen);
	if (fa != NULL && fb != NULL)
	{
		ScimAttr	attr;
		ScimCoreFrame frame;
		json_t	   *x;
		json_t	   *y;

		memset(&attr, 0, sizeof(attr));
		attr.type = SCIM_TYPE_STRING;
		scim_core_enter(&frame);
		x = json_stringn_nocheck(a, alen);
		y = json_stringn_nocheck(b, blen);
		scim_core_leave(&frame);
		if (sign(scim_value_compare(&attr, x, y)) != order(fa, falen, fb, fblen))
			abort();
		attr.case_exact = true;
		if (sign(scim_value_compare(&attr, x, y)) != order(a, alen, b, blen))
			abort();
	}
	if (fa != NULL)
	{
		size_t		n;
		char	   *folded;

		scim_alloc_fail_once(1 + turn++ % 8);
		folded = scim_fold(a, alen, &n);
		if (folded == NULL ? !scim_alloc_failed() : (n != falen || memcmp(folded, fa, n) != 0))
			abort();
		scim_alloc_fail_at(0);
	}
	return 0;
}
