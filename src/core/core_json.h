/*
 * core_json.h
 *		jansson, guarded: the only file of the project that includes jansson.h.
 *
 * json_object() of jansson has the name of a function of the server; inside a
 * backend the call would run the server's.  It is renamed round the include,
 * so that using it cannot link, and scim_json_object() takes its place.
 */
#ifndef SCIM_CORE_JSON_H
#define SCIM_CORE_JSON_H

#define json_object jansson_json_object_
#include <jansson.h>
#undef json_object

#include "core_error.h"

/* Limits of threat-and-fault-model, "Parsing and limits". */
#define SCIM_JSON_MAX_DEPTH		32
#define SCIM_JSON_MAX_TOKENS	200000
#define SCIM_JSON_MAX_STRING	(256 * 1024)

/*
 * Parse a complete JSON text (any value; nothing but white space after it).
 * Errors: 400 invalidSyntax (not UTF-8, not JSON, too deep, too many tokens,
 * string too long, a member twice in one object, also in different case),
 * 400 invalidValue (U+0000 in a string, a number with more than 15 significant
 * digits that is no 64-bit integer, an integer out of range), 413 (budget).
 * The position is where the token at fault begins; there is none where the
 * names of two members differ only in case.
 */
extern json_t *scim_json_parse(const char *text, size_t len, ScimError *err);

/*
 * The same for a resource that is stored here: its decimals may have any number
 * of digits, of which those of a double are seen.
 */
extern json_t *scim_json_parse_stored(const char *text, size_t len, ScimError *err);

/*
 * The pass that goes before: checks what jansson does not, and computes how
 * many bytes jansson will ask for at most to parse text[start, len)
 * (core_json_parse.c shows why).
 */
extern bool scim_json_scan(const char *text, size_t start, size_t len, size_t *need, ScimError *err);

/*
 * Compact text of a value, NUL-terminated, or NULL when memory is out.
 * Decimals are printed in their shortest form that reads back the same.
 */
extern char *scim_json_print(const json_t *value, size_t *len);

extern json_t *scim_json_object(void);	/* {}; NULL when memory is out */

/* Member by name without regard to (ASCII) case; the spelling found in *key. */
extern json_t *scim_json_get(const json_t *object, const char *name, const char **key);

/* null, [] and {} (also {} of only unassigned members) are unassigned (7643 2.5) */
extern bool scim_json_unassigned(const json_t *value);

/* ASCII names and URNs compare without case */
extern bool scim_name_eq(const char *a, size_t alen, const char *b);
extern int	scim_name_compare(const char *a, const char *b);

#endif							/* SCIM_CORE_JSON_H */
