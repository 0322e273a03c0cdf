/*
 * unit.h
 *		A harness of three functions.  Every unit_*.c is a program of its own:
 *
 *			static void test_x(void) { unit_check(1 + 1 == 2, "sum"); }
 *			int main(void) { unit_run("x", test_x); return unit_finish(); }
 *
 * The Makefile finds the files by their names, and adds up what they print.
 */
#ifndef UNIT_H
#define UNIT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

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

/* The closing line and the exit status. */
static inline int
unit_finish(void)
{
	printf("%d passed, %d failed\n", unit_passed, unit_failed);
	return unit_failed > 0;
}

#endif							/* UNIT_H */
