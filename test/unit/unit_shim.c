/*
 * unit_shim.c
 *		Memory of core (arena, budget, brackets round jansson) and error values.
 */
#include "unit.h"

#include <stdlib.h>

#include "core_fold.h"
#include "core_json.h"

static void
test_arena(void)
{
	char	   *p;
	char	   *grown;
	char	   *copy;
	char	   *others[100];
	bool		zero = true;

	p = scim_alloc0(1000);
	unit_check(p != NULL, "an allocation");
	for (int i = 0; i < 1000; i++)
		zero = zero && p[i] == 0;
	unit_check(zero, "scim_alloc0 clears");
	memset(p, 'x', 1000);
	grown = scim_realloc(p, 100000);
	unit_check(grown != NULL && grown[0] == 'x' && grown[999] == 'x', "scim_realloc keeps what was there");
	grown = scim_realloc(grown, 10);
	unit_check(grown != NULL && grown[9] == 'x', "scim_realloc to less");
	unit_check(scim_realloc(NULL, 10) != NULL, "scim_realloc of nothing");
	unit_check(scim_alloc(0) != NULL, "no byte is an allocation too");
	copy = scim_strndup("abcdef", 3);
	unit_check(copy != NULL && strcmp(copy, "abc") == 0, "scim_strndup");
	unit_check(scim_alloc(SIZE_MAX - 8) == NULL, "what no machine has");
	scim_free(NULL);

	/* from the middle, from both ends */
	for (int i = 0; i < 100; i++)
		others[i] = scim_alloc(16);
	for (int i = 0; i < 100; i++)
		scim_free(others[(i * 37) % 100]);
	scim_arena_reset();
	scim_arena_reset();
}

static void
test_budget(void)
{
	void	   *p;

	scim_arena_reset();
	scim_heap_begin(1000);
	p = scim_alloc(1000);
	unit_check(p != NULL, "as much as the budget");
	unit_check(scim_alloc(1) == NULL, "and nothing more");
	scim_free(p);
	unit_check(scim_alloc(1001) == NULL, "more than the budget");
	unit_check((p = scim_alloc(600)) != NULL, "freed memory counts no more");
	unit_check(scim_realloc(p, 700) == NULL, "both copies count in scim_realloc");
	unit_check(scim_alloc0(500) == NULL && scim_strndup("x", 400) == NULL, "every way to get memory counts");
	unit_check(scim_alloc(400) != NULL, "what is left");
	unit_check(scim_alloc_failed(), "a failure is remembered");
	scim_heap_begin(SIZE_MAX);
	unit_check(!scim_alloc_failed(), "until the next budget");
	unit_check(scim_alloc(100000) != NULL && !scim_alloc_failed(), "another budget");
	scim_arena_reset();
}

static void
test_keep(void)
{
	char	   *old = scim_strndup("old", 3);
	char	   *older;

	scim_alloc(10);
	older = scim_strndup("older", 5);
	scim_arena_keep();
	for (int i = 0; i < 3; i++)
	{
		scim_alloc(10);
		scim_arena_reset();
	}
	unit_check(strcmp(old, "old") == 0 && strcmp(older, "older") == 0, "what was kept is there");
	scim_free(older);
	scim_alloc(10);
	scim_arena_reset();
	unit_check(strcmp(old, "old") == 0, "also when the newest of it is freed");
	scim_free(old);
	scim_arena_reset();
}

static void
test_failing(void)
{
	scim_alloc_fail_at(3);
	unit_check(scim_alloc(1) && scim_alloc(1) && !scim_alloc(1) && !scim_alloc(1), "all from the third on");
	unit_check(scim_alloc_count() == 4, "%ld allocations", scim_alloc_count());
	scim_alloc_fail_once(2);
	unit_check(scim_alloc(1) && !scim_alloc(1) && scim_alloc(1), "the second alone");
	scim_alloc_fail_at(0);
	unit_check(scim_alloc(1) != NULL && scim_alloc_count() == 1, "none");
	scim_arena_reset();
}

/* jansson's memory, cut from one piece and freed whenever. */
static void
test_reserve(void)
{
	ScimCoreFrame frame;
	json_t	   *list;
	json_t	   *own;
	size_t		left;

	scim_core_enter(&frame);
	scim_alloc_fail_at(0);
	unit_check(scim_reserve_begin(1000) && scim_alloc_count() == 1, "one allocation");
	list = json_pack("[s, i]", "text", 7);
	left = scim_reserve_end();
	unit_check(list != NULL && scim_alloc_count() == 1 && left < 1000 && left % 8 == 0, "%zu bytes left", left);
	/* replaced, grown, freed: what jansson gives back later is no allocation of its own */
	for (int i = 0; i < 20; i++)
		json_array_append_new(list, json_integer(i));
	json_array_set_new(list, 0, json_string("another"));
	json_array_remove(list, 1);
	unit_check(json_array_size(list) == 21 && strcmp(json_string_value(json_array_get(list, 0)), "another") == 0, "values go on");
	json_decref(list);

	/* what does not fit is allocated one by one */
	scim_alloc_fail_at(0);
	unit_check(scim_reserve_begin(SCIM_PIECE(1)), "a small one");
	own = json_pack("[s, i]", "text", 7);
	scim_reserve_end();
	unit_check(own != NULL && scim_alloc_count() > 3 && json_array_size(own) == 2, "%ld allocations", scim_alloc_count());
	json_decref(own);

	/* given back when nothing in it is in use: at its end, or with the last piece */
	scim_heap_begin(1000);
	for (int i = 0; i < 20; i++)
	{
		unit_check(scim_reserve_begin(900), "within the budget");
		json_decref(json_pack("[i]", 1));
		own = json_pack("[i]", 2);
		if (i % 2 == 0)
			json_decref(own);
		scim_reserve_end();
		if (i % 2)
		{
			unit_check(scim_alloc(900) == NULL, "in use");
			json_decref(own);
		}
	}
	scim_heap_begin(1000);
	unit_check(!scim_reserve_begin(SIZE_MAX) && !scim_reserve_begin(1001) && scim_alloc_failed(), "over the budget");
	scim_heap_begin(SIZE_MAX);
	scim_core_leave(&frame);
	scim_arena_reset();

	/* an error has jumped over its end */
	scim_core_enter(&frame);
	scim_reserve_begin(1000);
	scim_core_reset();
	scim_arena_reset();
	scim_core_enter(&frame);
	scim_alloc_fail_at(0);
	own = json_pack("[]");
	unit_check(own != NULL && scim_alloc_count() > 0, "the reserve is forgotten");
	scim_core_leave(&frame);
	scim_arena_reset();
}

static long foreign_calls;

static void *
foreign_malloc(size_t size)
{
	foreign_calls++;
	return malloc(size);
}

static void
foreign_free(void *p)
{
	free(p);
}

static bool
foreign_in_charge(void)
{
	json_malloc_t get;
	json_free_t give;

	json_get_alloc_funcs(&get, &give);
	return get == foreign_malloc && give == foreign_free;
}

/* Another user of jansson in the process never notices core. */
static void
test_brackets(void)
{
	ScimCoreFrame outer;
	ScimCoreFrame inner;
	json_malloc_t saved_malloc;
	json_free_t saved_free;
	json_t	   *value;
	long		before;

	json_get_alloc_funcs(&saved_malloc, &saved_free);
	json_set_alloc_funcs(foreign_malloc, foreign_free);

	scim_core_enter(&outer);
	unit_check(!foreign_in_charge(), "inside");
	scim_core_enter(&inner);
	scim_core_leave(&inner);
	unit_check(!foreign_in_charge(), "still inside behind the inner bracket");
	before = foreign_calls;
	value = json_pack("{s:[i,s]}", "a", 1, "text");
	unit_check(value != NULL && foreign_calls == before, "jansson allocates in the arena");
	json_decref(value);
	scim_core_leave(&outer);
	unit_check(foreign_in_charge(), "outside");

	/* an error jumps over two ends */
	scim_core_enter(&outer);
	scim_core_enter(&inner);
	scim_core_reset();
	unit_check(foreign_in_charge(), "after an error");
	scim_core_reset();
	unit_check(foreign_in_charge(), "a reset without need");
	scim_core_enter(&outer);
	unit_check(!foreign_in_charge(), "inside again");
	scim_core_leave(&outer);
	unit_check(foreign_in_charge(), "outside again");

	/* functions of core bracket themselves */
	before = foreign_calls;
	value = scim_json_object();
	unit_check(value != NULL && json_is_object(value) && foreign_calls == before && foreign_in_charge(), "scim_json_object");
	scim_alloc_fail_at(1);
	unit_check(scim_json_object() == NULL, "scim_json_object without memory");
	scim_alloc_fail_at(0);

	json_set_alloc_funcs(saved_malloc, saved_free);
	scim_arena_reset();
}

static void
test_errors(void)
{
	ScimError	err;
	char		text[2 * SCIM_DETAIL_SIZE];
	size_t		bad;

	memset(&err, 0, sizeof(err));
	unit_check(!scim_fail(&err, 400, SCIM_INVALID_PATH, "no \"%s\"", "x"), "false for callers to return");
	unit_check(err.status == 400 && strcmp(err.scim_type, "invalidPath") == 0 && err.position == -1 &&
			   strcmp(err.detail, "no \"x\"") == 0, "filled: %s", err.detail);
	scim_fail_memory(&err);
	scim_fail_at(&err, 500, NULL, 7, "later");
	unit_check(err.status == 400 && strcmp(err.detail, "no \"x\"") == 0, "the first error wins: %s", err.detail);

	memset(&err, 0, sizeof(err));
	unit_check(!scim_fail_at(&err, 400, SCIM_INVALID_FILTER, 12, "wrong"), "false");
	unit_check(err.position == 12 && strcmp(err.detail, "wrong (at position 12)") == 0, "%s", err.detail);

	memset(&err, 0, sizeof(err));
	unit_check(!scim_fail_memory(&err) && err.status == 413 && err.scim_type == NULL, "%d", err.status);

	/* what is found out without memory is no fact */
	scim_alloc_fail_at(1);
	unit_check(scim_alloc(1) == NULL, "no memory");
	memset(&err, 0, sizeof(err));
	unit_check(!scim_fail_at(&err, 400, SCIM_NO_TARGET, 3, "nothing matches") && err.status == 413 && err.scim_type == NULL &&
			   err.position == -1, "%d %s", err.status, err.detail);
	scim_alloc_fail_at(0);

	/* long ones end at a character's border, and the position is there */
	for (size_t shift = 0; shift < 4; shift++)
	{
		memset(text, 'a', sizeof(text));
		for (size_t i = shift; i + 3 < sizeof(text); i += 3)
			memcpy(text + i, "\xE3\x81\x82", 3);
		text[sizeof(text) - 1 - (sizeof(text) - 1 - shift) % 3] = '\0';
		memset(&err, 0, sizeof(err));
		scim_fail(&err, 400, NULL, "%s", text);
		unit_check(strlen(err.detail) > SCIM_DETAIL_SIZE - 8 && scim_utf8_valid(err.detail, strlen(err.detail), &bad),
				   "%d: %d bytes", (int) shift, (int) strlen(err.detail));
		memset(&err, 0, sizeof(err));
		scim_fail_at(&err, 400, NULL, 2147483647, "%s", text);
		unit_check(strlen(err.detail) > SCIM_DETAIL_SIZE - 8 && scim_utf8_valid(err.detail, strlen(err.detail), &bad) &&
				   strstr(err.detail, " (at position 2147483647)") != NULL, "%d: %s", (int) shift, err.detail);
		/* a precision counts bytes */
		memset(&err, 0, sizeof(err));
		scim_fail(&err, 400, NULL, "\"%.100s\"", text);
		unit_check(scim_utf8_valid(err.detail, strlen(err.detail), &bad) && strlen(err.detail) == 102, "%s", err.detail);
	}
}

int
main(void)
{
	unit_run("arena", test_arena);
	unit_run("budget", test_budget);
	unit_run("keep", test_keep);
	unit_run("failing", test_failing);
	unit_run("reserve", test_reserve);
	unit_run("brackets", test_brackets);
	unit_run("errors", test_errors);
	return unit_finish();
}
