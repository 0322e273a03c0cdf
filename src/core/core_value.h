/*
 * core_value.h
 *		Single values: dateTime, base64, numbers, comparison (RFC 7643 2.3).
 */
#ifndef SCIM_CORE_VALUE_H
#define SCIM_CORE_VALUE_H

#include "core_schema.h"

/*
 * xsd:dateTime with date and time.  Microseconds since 1970-01-01 UTC
 * (proleptic Gregorian; further fraction digits are cut).  An absent zone
 * means UTC.  False if the text is no dateTime.  24:00:00 is the next day;
 * second 60 is refused, and what is not of the years 1 to 9999 in UTC.
 */
extern bool scim_datetime_parse(const char *text, size_t len, int64_t *usec);

/* "YYYY-MM-DDTHH:MM:SS[.ffffff]Z"; trailing zeros of the fraction are cut. */
#define SCIM_DATETIME_SIZE 40
extern void scim_datetime_print(int64_t usec, char *buf);

/* base64 or base64url (not both mixed), padding optional; no blanks. */
extern bool scim_base64_valid(const char *text, size_t len);

/* Is "value" of the type of "attr" (a single value, not the array)? */
extern bool scim_value_fits(const ScimAttr *attr, const json_t *value);

/* -1, 0, 1 by the attribute's rules; both fit. Strings: folded unless case_exact. */
extern int	scim_value_compare(const ScimAttr *attr, const json_t *a, const json_t *b);

/* -1, 0, 1, exactly, although a double cannot hold every 64-bit integer. */
extern int	scim_compare_integer_real(int64_t i, double d);

/*
 * Deep equality of two values of an attribute: arrays without order, complex
 * values by sub-attribute, null/[]/absent equal, primary false equal to
 * absent, strings exactly (a change of case only is a change).  Long arrays
 * cost a sort; false, too, when memory is out (scim_alloc_failed()).
 */
extern bool scim_value_same(const ScimAttr *attr, const json_t *a, const json_t *b);

#endif							/* SCIM_CORE_VALUE_H */
