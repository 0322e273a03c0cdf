/*
 * core_multi.c
 *		Sets of values of a multi-valued attribute.
 *
 * Validation folds duplicates with it, PATCH finds what is already there, and
 * what a remove lists.  Short sets are searched from end to end; longer ones
 * by a hash table with open addressing, so that a list of n values costs n
 * look-ups.  The hash agrees with the identity of core_multi.h: whatever is
 * identical hashes alike, which for strings that are not caseExact means the
 * folded string.
 */
#include "core_multi.h"

#include <string.h>

#include "core_fold.h"

#define SHORT_SET	16			/* up to here no table is built */

static ScimAttr *
sub_named(const ScimAttr *attr, const char *name)
{
	if (attr->type != SCIM_TYPE_COMPLEX)
		return NULL;
	return scim_attr_sub(attr, name, strlen(name));
}

bool
scim_multi_is_reference(const ScimAttr *attr)
{
	const ScimAttr *value;

	if (!attr->multi)
		return false;
	value = sub_named(attr, "value");
	if (value == NULL)
		return false;
	/* A mapping may lack $ref; an immutable id says the same. */
	return value->mutability == SCIM_IMMUTABLE || sub_named(attr, "$ref") != NULL;
}

static bool
is_conjunction(const ScimFilter *filter)
{
	/* Chains of "and" lean to the left; depth is bounded by the parser. */
	while (filter->kind == SCIM_FILTER_AND)
	{
		if (!is_conjunction(filter->right))
			return false;
		filter = filter->left;
	}
	return filter->kind == SCIM_FILTER_COMPARE && filter->op == SCIM_OP_EQ &&
		filter->sub != NULL && filter->operand.kind != SCIM_OPERAND_NULL;
}

bool
scim_multi_describe(const ScimFilter *filter, json_t *value, bool *described, ScimError *err)
{
	*described = is_conjunction(filter);
	if (!*described)
		return true;
	if (!scim_filter_template(filter, value))
		return scim_fail_memory(err);
	/* type eq "a" and type eq "b" describes nothing. */
	*described = scim_filter_eval_value(filter, value);
	return true;
}

void
scim_multi_init(ScimMultiSet *set, const ScimAttr *attr, bool by_value)
{
	memset(set, 0, sizeof(*set));
	set->attr = attr;
	set->value = sub_named(attr, "value");
	set->type = sub_named(attr, "type");
	set->reference = scim_multi_is_reference(attr);
	set->by_value = by_value || set->reference;
}

static uint64_t
hash_bytes(uint64_t h, const char *s, size_t len)
{
	size_t		i;

	for (i = 0; i < len; i++)
	{
		h ^= (unsigned char) s[i];
		h *= UINT64_C(0x100000001b3);
	}
	return h;
}

static uint64_t
hash_mix(uint64_t h)
{
	h ^= h >> 33;
	h *= UINT64_C(0xff51afd7ed558ccd);
	h ^= h >> 33;
	return h;
}

/* Hash of one single value (or of what stands where one should). */
static bool
hash_part(const ScimAttr *attr, bool exact, const json_t *value, uint64_t *hash, ScimError *err)
{
	uint64_t	h = UINT64_C(0xcbf29ce484222325);
	int64_t		usec;
	double		number;

	switch (json_typeof(value))
	{
		case JSON_STRING:
			{
				const char *s = json_string_value(value);
				size_t		len = json_string_length(value);

				if (attr->type == SCIM_TYPE_DATETIME && scim_datetime_parse(s, len, &usec))
					h = hash_bytes(h, (const char *) &usec, sizeof(usec));
				else if (exact || attr->case_exact || scim_fold_is_noop_ascii(s, len))
					h = hash_bytes(h, s, len);
				else
				{
					size_t		folded_len;
					char	   *folded = scim_fold(s, len, &folded_len);

					if (folded == NULL)
						return scim_fail_memory(err);
					h = hash_bytes(h, folded, folded_len);
					scim_free(folded);
				}
				break;
			}
		case JSON_INTEGER:
		case JSON_REAL:
			number = json_number_value(value);
			if (number == 0)
				number = 0;		/* -0 and 0 are one number */
			h = hash_bytes(h, (const char *) &number, sizeof(number));
			break;
		default:
			h += (uint64_t) json_typeof(value);
			break;
	}
	*hash = hash_mix(h);
	return true;
}

/* Are two single values the same by the attribute's case rule? */
static bool
part_equal(const ScimAttr *attr, bool exact, const json_t *a, const json_t *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	if (exact || json_is_array(a) || json_is_array(b) || !scim_value_fits(attr, a) || !scim_value_fits(attr, b))
		return json_equal(a, b) != 0;
	return scim_value_compare(attr, a, b) == 0;
}

/* The sub-attribute's value, or NULL where the attribute is simple or has none. */
static const json_t *
part_of(const json_t *value, const ScimAttr *sub)
{
	const json_t *part;

	if (sub == NULL || !json_is_object(value))
		return NULL;
	part = json_object_get(value, sub->name);
	return part == NULL || scim_json_unassigned(part) ? NULL : part;
}

static bool
is_primary(const ScimAttr *sub)
{
	return scim_name_eq(sub->name, strlen(sub->name), "primary");
}

static bool
set_hash(const ScimMultiSet *set, const json_t *value, uint64_t *hash, ScimError *err)
{
	const json_t *part;
	uint64_t	h;
	int			i;

	if (set->attr->type != SCIM_TYPE_COMPLEX || !json_is_object(value))
		return hash_part(set->attr, false, value, hash, err);

	part = part_of(value, set->value);
	if (part != NULL)
	{
		if (!hash_part(set->value, set->reference, part, hash, err))
			return false;
		part = set->by_value ? NULL : part_of(value, set->type);
		if (part != NULL)
		{
			if (!hash_part(set->type, false, part, &h, err))
				return false;
			*hash = hash_mix(*hash + 3 * h);
		}
		return true;
	}

	*hash = 0;
	for (i = 0; i < set->attr->nsubs; i++)
	{
		const ScimAttr *sub = set->attr->subs[i];

		part = part_of(value, sub);
		if (part == NULL || is_primary(sub))
			continue;
		if (!hash_part(sub, false, part, &h, err))
			return false;
		*hash += hash_mix(h + (uint64_t) i);
	}
	return true;
}

static bool
set_equal(const ScimMultiSet *set, const json_t *a, const json_t *b)
{
	const json_t *va;
	const json_t *vb;
	int			i;

	if (set->attr->type != SCIM_TYPE_COMPLEX)
		return part_equal(set->attr, false, a, b);
	if (!json_is_object(a) || !json_is_object(b))
		return json_equal(a, b) != 0;

	va = part_of(a, set->value);
	vb = part_of(b, set->value);
	if ((va == NULL) != (vb == NULL))
		return false;
	if (va != NULL)
	{
		if (!part_equal(set->value, set->reference, va, vb))
			return false;
		return set->by_value || set->type == NULL ||
			part_equal(set->type, false, part_of(a, set->type), part_of(b, set->type));
	}
	for (i = 0; i < set->attr->nsubs; i++)
	{
		const ScimAttr *sub = set->attr->subs[i];

		if (!is_primary(sub) && !part_equal(sub, false, part_of(a, sub), part_of(b, sub)))
			return false;
	}
	return true;
}

int
scim_multi_find(const ScimMultiSet *set, const json_t *value, uint64_t *hash, ScimError *err)
{
	int			i;

	if (!set_hash(set, value, hash, err))
		return -2;
	if (set->table == NULL)
	{
		for (i = 0; i < set->nitems; i++)
		{
			if (set->hashes[i] == *hash && set_equal(set, set->items[i], value))
				return i;
		}
		return -1;
	}
	for (i = (int) (*hash & (uint64_t) (set->table_size - 1)); set->table[i] != 0;
		 i = (i + 1) & (set->table_size - 1))
	{
		int			item = set->table[i] - 1;

		if (set->hashes[item] == *hash && set_equal(set, set->items[item], value))
			return item;
	}
	return -1;
}

static void
table_put(ScimMultiSet *set, int item)
{
	int			i = (int) (set->hashes[item] & (uint64_t) (set->table_size - 1));

	while (set->table[i] != 0)
		i = (i + 1) & (set->table_size - 1);
	set->table[i] = item + 1;
}

/* Makes room for one more item; the table is at most half full. */
static bool
set_grow(ScimMultiSet *set, ScimError *err)
{
	int			capacity = set->capacity == 0 ? SHORT_SET : set->capacity * 2;
	const json_t **items;
	uint64_t   *hashes;
	int		   *table = NULL;
	int			i;

	items = scim_realloc(set->items, sizeof(*items) * (size_t) capacity);
	if (items == NULL)
		return scim_fail_memory(err);
	set->items = items;
	hashes = scim_realloc(set->hashes, sizeof(*hashes) * (size_t) capacity);
	if (hashes == NULL)
		return scim_fail_memory(err);
	set->hashes = hashes;
	if (capacity > SHORT_SET)
	{
		table = scim_alloc0(sizeof(*table) * (size_t) capacity * 2);
		if (table == NULL)
			return scim_fail_memory(err);
		if (set->table != NULL)
			scim_free(set->table);
		set->table = table;
		set->table_size = capacity * 2;
		for (i = 0; i < set->nitems; i++)
			table_put(set, i);
	}
	set->capacity = capacity;
	return true;
}

bool
scim_multi_add(ScimMultiSet *set, const json_t *value, uint64_t hash, ScimError *err)
{
	if (set->nitems == set->capacity && !set_grow(set, err))
		return false;
	set->items[set->nitems] = value;
	set->hashes[set->nitems] = hash;
	set->nitems++;
	if (set->table != NULL)
		table_put(set, set->nitems - 1);
	return true;
}

bool
scim_multi_add_all(ScimMultiSet *set, const json_t *array, ScimError *err)
{
	size_t		n = json_array_size(array);
	size_t		i;
	uint64_t	hash;

	for (i = 0; i < n; i++)
	{
		const json_t *value = json_array_get(array, i);

		if (!set_hash(set, value, &hash, err) || !scim_multi_add(set, value, hash, err))
			return false;
	}
	return true;
}

void
scim_multi_replace(ScimMultiSet *set, int i, const json_t *value)
{
	set->items[i] = value;
}
