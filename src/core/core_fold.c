/*
 * core_fold.c
 *		fold(x) = NFC(NFD(CF(NFD(W(x))))) (see core_fold.h).
 *
 * Case folding can make a string that is not normalised any more, and
 * normalising can make one that folds further: the middle NFD is what makes
 * the whole idempotent (NFC(fold(width(x))) is not).
 */
#include <stdlib.h>
#include <string.h>

#include "core_fold.h"
#include "core_fold_tables.h"

/* Hangul syllables are composed by arithmetic (Unicode, section 3.12). */
#define S_BASE 0xAC00
#define L_BASE 0x1100
#define V_BASE 0x1161
#define T_BASE 0x11A7
#define L_COUNT 19
#define V_COUNT 21
#define T_COUNT 28
#define N_COUNT (V_COUNT * T_COUNT)
#define S_COUNT (L_COUNT * N_COUNT)

#define N_CLASSES 256			/* combining classes are 0 to 254 */

const char *
scim_fold_unicode_version(void)
{
	return scim_fold_unicode;
}

/* ---- UTF-8 ---- */

/* Length of the sequence at s; 0: not valid. */
static size_t
utf8_sequence(const unsigned char *s, size_t left)
{
	unsigned char c = s[0];
	size_t		n;

	if (c < 0x80)
		return 1;
	if (c < 0xC2)
		return 0;
	n = c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 0;
	if (n == 0 || n > left)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xC0) != 0x80)
			return 0;
	if ((c == 0xE0 && s[1] < 0xA0) ||	/* overlong */
		(c == 0xED && s[1] > 0x9F) ||	/* surrogates */
		(c == 0xF0 && s[1] < 0x90) ||	/* overlong */
		(c == 0xF4 && s[1] > 0x8F)) /* beyond U+10FFFF */
		return 0;
	return n;
}

bool
scim_utf8_valid(const char *s, size_t len, size_t *bad_offset)
{
	size_t		i = 0;

	while (i < len)
	{
		uint64_t	eight;
		size_t		n;

		/* ASCII goes by eight */
		if (len - i >= sizeof(eight) && (memcpy(&eight, s + i, sizeof(eight)), (eight & UINT64_C(0x8080808080808080)) == 0))
		{
			i += sizeof(eight);
			continue;
		}
		n = utf8_sequence((const unsigned char *) s + i, len - i);
		if (n == 0)
		{
			if (bad_offset)
				*bad_offset = i;
			return false;
		}
		i += n;
	}
	return true;
}

static uint32_t
decode(const unsigned char *s, size_t n)
{
	switch (n)
	{
		case 1:
			return s[0];
		case 2:
			return (uint32_t) (s[0] & 0x1F) << 6 | (s[1] & 0x3F);
		case 3:
			return (uint32_t) (s[0] & 0x0F) << 12 | (uint32_t) (s[1] & 0x3F) << 6 | (s[2] & 0x3F);
		default:
			return (uint32_t) (s[0] & 0x07) << 18 | (uint32_t) (s[1] & 0x3F) << 12 |
				(uint32_t) (s[2] & 0x3F) << 6 | (s[3] & 0x3F);
	}
}

static size_t
encode(uint32_t cp, char *out)
{
	if (cp < 0x80)
	{
		out[0] = (char) cp;
		return 1;
	}
	if (cp < 0x800)
	{
		out[0] = (char) (0xC0 | cp >> 6);
		out[1] = (char) (0x80 | (cp & 0x3F));
		return 2;
	}
	if (cp < 0x10000)
	{
		out[0] = (char) (0xE0 | cp >> 12);
		out[1] = (char) (0x80 | (cp >> 6 & 0x3F));
		out[2] = (char) (0x80 | (cp & 0x3F));
		return 3;
	}
	out[0] = (char) (0xF0 | cp >> 18);
	out[1] = (char) (0x80 | (cp >> 12 & 0x3F));
	out[2] = (char) (0x80 | (cp >> 6 & 0x3F));
	out[3] = (char) (0x80 | (cp & 0x3F));
	return 4;
}

/* ---- code points ---- */

typedef struct CodePoints
{
	uint32_t   *cp;
	size_t		n;
	size_t		capacity;
	bool		failed;
} CodePoints;

static void
push(CodePoints *list, uint32_t cp)
{
	if (list->n == list->capacity && !list->failed)
	{
		size_t		capacity = list->capacity * 2;
		uint32_t   *grown = scim_realloc(list->cp, capacity * sizeof(uint32_t));

		if (grown == NULL)
		{
			list->failed = true;
			return;
		}
		list->cp = grown;
		list->capacity = capacity;
	}
	if (!list->failed)
		list->cp[list->n++] = cp;
}

static bool
start(CodePoints *list, size_t capacity)
{
	list->n = 0;
	list->capacity = capacity + 16;
	list->cp = scim_alloc(list->capacity * sizeof(uint32_t));
	list->failed = list->cp == NULL;
	return !list->failed;
}

static const ScimFoldMapping *
find(const ScimFoldMapping *table, int n, uint32_t cp)
{
	int			low = 0;
	int			high = n - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;

		if (table[middle].cp == cp)
			return &table[middle];
		if (table[middle].cp < cp)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return NULL;
}

static uint32_t
combining_class(uint32_t cp)
{
	int			low = 0;
	int			high = scim_n_fold_classes - 1;

	if (cp < 0x300)
		return 0;
	while (low <= high)
	{
		int			middle = (low + high) / 2;

		if (scim_fold_classes[middle].cp == cp)
			return scim_fold_classes[middle].ccc;
		if (scim_fold_classes[middle].cp < cp)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return 0;
}

static uint32_t
compose_pair(uint32_t a, uint32_t b)
{
	int			low = 0;
	int			high = scim_n_fold_pairs - 1;

	if (a >= L_BASE && a < L_BASE + L_COUNT && b >= V_BASE && b < V_BASE + V_COUNT)
		return S_BASE + ((a - L_BASE) * V_COUNT + (b - V_BASE)) * T_COUNT;
	if (a >= S_BASE && a < S_BASE + S_COUNT && (a - S_BASE) % T_COUNT == 0 &&
		b > T_BASE && b < T_BASE + T_COUNT)
		return a + (b - T_BASE);
	while (low <= high)
	{
		int			middle = (low + high) / 2;
		const ScimFoldPair *pair = &scim_fold_pairs[middle];

		if (pair->first == a && pair->second == b)
			return pair->composed;
		if (pair->first < a || (pair->first == a && pair->second < b))
			low = middle + 1;
		else
			high = middle - 1;
	}
	return 0;
}

static void
map_one(CodePoints *out, const ScimFoldMapping *table, int n, uint32_t cp)
{
	const ScimFoldMapping *m = find(table, n, cp);

	if (m == NULL)
	{
		push(out, cp);
		return;
	}
	for (int i = 0; i < m->len; i++)
		push(out, scim_fold_pool[m->offset + i]);
}

/*
 * Canonical order: each run of marks sorted by class, equal classes as they
 * were.  A run is as long as the client likes, hence by counting.
 */
static bool
order_run(uint32_t *run, size_t n)
{
	size_t		place[N_CLASSES + 1] = {0};
	uint32_t   *copy = scim_alloc(n * sizeof(uint32_t));

	if (copy == NULL)
		return false;
	memcpy(copy, run, n * sizeof(uint32_t));
	for (size_t i = 0; i < n; i++)
		place[combining_class(copy[i]) + 1]++;
	for (int class = 1; class < N_CLASSES; class++)
		place[class] += place[class - 1];
	for (size_t i = 0; i < n; i++)
		run[place[combining_class(copy[i])]++] = copy[i];
	scim_free(copy);
	return true;
}

static bool
order_marks(CodePoints *list)
{
	size_t		first = 0;		/* of the run */
	uint32_t	last = 0;
	bool		ordered = true;

	for (size_t i = 0; i <= list->n; i++)
	{
		uint32_t	class = i < list->n ? combining_class(list->cp[i]) : 0;

		if (class == 0)
		{
			if (!ordered && !order_run(list->cp + first, i - first))
				return false;
			first = i + 1;
			ordered = true;
		}
		else
			ordered = ordered && class >= last;
		last = class;
	}
	return true;
}

/* Canonical decomposition and canonical order. */
static bool
nfd(const CodePoints *in, CodePoints *out)
{
	if (!start(out, in->n * 2))
		return false;
	for (size_t i = 0; i < in->n; i++)
	{
		uint32_t	cp = in->cp[i];

		if (cp >= S_BASE && cp < S_BASE + S_COUNT)
		{
			uint32_t	s = cp - S_BASE;

			push(out, L_BASE + s / N_COUNT);
			push(out, V_BASE + s % N_COUNT / T_COUNT);
			if (s % T_COUNT != 0)
				push(out, T_BASE + s % T_COUNT);
		}
		else if (cp < 0xC0)
			push(out, cp);
		else
			map_one(out, scim_fold_canonical, scim_n_fold_canonical, cp);
	}
	return !out->failed && order_marks(out);
}

/* Canonical composition, in place. */
static void
compose(CodePoints *list)
{
	size_t		starter = 0;
	size_t		n = 0;
	bool		has_starter = false;
	uint32_t	last_class = 0;

	for (size_t i = 0; i < list->n; i++)
	{
		uint32_t	cp = list->cp[i];
		uint32_t	class = combining_class(cp);
		bool		blocked = n > starter + 1 && last_class >= class;

		if (has_starter && !blocked)
		{
			uint32_t	composed = compose_pair(list->cp[starter], cp);

			if (composed != 0)
			{
				list->cp[starter] = composed;
				continue;
			}
		}
		if (class == 0)
		{
			starter = n;
			has_starter = true;
		}
		last_class = class;
		list->cp[n++] = cp;
	}
	list->n = n;
}

static char *
fold_unicode(const char *s, size_t len, size_t *folded_len)
{
	CodePoints	wide,
				decomposed,
				folded,
				result;
	char	   *out;
	size_t		n = 0;

	if (!start(&wide, len))
		return NULL;
	for (size_t i = 0; i < len;)
	{
		size_t		size = utf8_sequence((const unsigned char *) s + i, len - i);
		uint32_t	cp;

		/* callers have checked; a stray byte must still not loop for ever */
		if (size == 0)
			return NULL;
		cp = decode((const unsigned char *) s + i, size);
		i += size;
		if (cp < 0x3000)
			push(&wide, cp);
		else
			map_one(&wide, scim_fold_width, scim_n_fold_width, cp);
	}
	if (wide.failed || !nfd(&wide, &decomposed) || !start(&folded, decomposed.n * 2))
		return NULL;
	for (size_t i = 0; i < decomposed.n; i++)
		map_one(&folded, scim_fold_case, scim_n_fold_case, decomposed.cp[i]);
	if (folded.failed || !nfd(&folded, &result))
		return NULL;
	compose(&result);

	out = scim_alloc(result.n * 4 + 1);
	if (out == NULL)
		return NULL;
	for (size_t i = 0; i < result.n; i++)
		n += encode(result.cp[i], out + n);
	out[n] = '\0';
	if (folded_len)
		*folded_len = n;
	scim_free(wide.cp);
	scim_free(decomposed.cp);
	scim_free(folded.cp);
	scim_free(result.cp);
	return out;
}

bool
scim_fold_is_noop_ascii(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char) s[i] >= 0x80 || (s[i] >= 'A' && s[i] <= 'Z'))
			return false;
	return true;
}

char *
scim_fold(const char *s, size_t len, size_t *folded_len)
{
	char	   *out = scim_alloc(len + 1);

	if (out == NULL)
		return NULL;
	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) s[i];

		if (c >= 0x80)
		{
			scim_free(out);
			return fold_unicode(s, len, folded_len);
		}
		out[i] = (char) (c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
	}
	out[len] = '\0';
	if (folded_len)
		*folded_len = len;
	return out;
}
