/*
 * unit.h
 *		A harness of four functions.  Every unit_*.c is a program of its own:
 *
 *			static void test_x(void) { unit_check(1 + 1 == 2, "sum"); }
 *			int main(void) { unit_run("x", test_x); return unit_finish(); }
 *
 * The Makefile finds the files by their names, and adds up what they print.
 * unit_torture() runs a case again and again, each time with another allocation
 * that fails.
 */
#ifndef UNIT_H
#define UNIT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core_error.h"

#define UNIT_MAX_REPORTS 60		/* failures shown; all are counted */

static int	unit_passed;
static int	unit_failed;

/* Count a check; say what failed. */
__attribute__((format(printf, 2, 3)))
static inline void
unit_check(bool ok, const char *fmt,...)
{
	va_list		args;

	if (ok)
	{
		unit_passed++;
		return;
	}
	if (unit_failed++ >= UNIT_MAX_REPORTS)
		return;
	printf("  FAILED: ");
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
}

/* Run a group of checks. */
static inline void
unit_run(const char *name, void (*test) (void))
{
	int			passed = unit_passed;
	int			failed = unit_failed;

	test();
	printf("  %s: %d passed, %d failed\n", name, unit_passed - passed, unit_failed - failed);
	fflush(stdout);
}

/*
 * What is tortured: true if the result is the right one, false if there is
 * none; "err" then says why.  It starts from the same state each time.
 */
typedef bool (*UnitCase) (void *arg, ScimError *err);

/*
 * Run a case with the n-th allocation failing, alone and with all behind it:
 * the result is right or lack of memory is reported.  Every n to 100, then in
 * steps of one in a hundred.  Returns how many allocations the case makes.
 */
static inline long
unit_torture(const char *name, UnitCase run, void *arg)
{
	long		count = 0;

	for (int once = 0; once < 2; once++)
	{
		bool		reached = true;

		for (long n = 1; reached; n += 1 + n / 100)
		{
			ScimError	err;
			bool		right;

			memset(&err, 0, sizeof(err));
			(once ? scim_alloc_fail_once : scim_alloc_fail_at) (n);
			right = run(arg, &err);
			count = scim_alloc_count();
			reached = count >= n;
			scim_alloc_fail_at(0);
			unit_check(right ? err.status == 0 : reached && err.status == 413,
					   "%s: allocation %ld%s: %s, status %d (%s)", name, n, once ? " alone" : "",
					   right ? "a result" : "no result", err.status, err.detail);
		}
	}
	return count;
}

/* The closing line and the exit status. */
static inline int
unit_finish(void)
{
	printf("%d passed, %d failed\n", unit_passed, unit_failed);
	return unit_failed > 0;
}

#endif							/* UNIT_H */
