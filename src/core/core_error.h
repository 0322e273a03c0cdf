/*
 * core_error.h
 *		Errors as values (RFC 7644 3.12): status, scimType, detail.
 *
 * The detail names the attribute or the position and never repeats a value
 * that the client sent (it might be a secret).
 */
#ifndef SCIM_CORE_ERROR_H
#define SCIM_CORE_ERROR_H

#include "core_shim.h"

#define SCIM_DETAIL_SIZE 400

typedef struct ScimError
{
	int			status;			/* HTTP status; 0: no error */
	const char *scim_type;		/* static string, or NULL where none is defined */
	int			position;		/* byte offset in the text at fault, or -1 */
	char		detail[SCIM_DETAIL_SIZE];	/* UTF-8, cut at a character border */
} ScimError;

/* Strict is the RFC; compat also takes what identity providers send. */
typedef enum ScimMode
{
	SCIM_STRICT,
	SCIM_COMPAT
} ScimMode;

/*
 * Fill "err" (the first error wins: a filled one is left alone) and return
 * false, so that callers can write "return scim_fail(...)".  Once an allocation
 * has failed every error is scim_fail_memory(): functions that only answer yes
 * or no cannot say that they lacked memory, and their callers need not ask.
 */
extern bool scim_fail(ScimError *err, int status, const char *scim_type,
					  const char *fmt,...)
			__attribute__((format(printf, 4, 5)));
/* The same with a position (byte offset), which the detail also states. */
extern bool scim_fail_at(ScimError *err, int status, const char *scim_type,
						 int position, const char *fmt,...)
			__attribute__((format(printf, 5, 6)));
extern bool scim_fail_memory(ScimError *err);	/* 413: over the request's budget */

/* scimType values (RFC 7644 Table 9, RFC 9865) */
#define SCIM_INVALID_FILTER	"invalidFilter"
#define SCIM_TOO_MANY		"tooMany"
#define SCIM_UNIQUENESS		"uniqueness"
#define SCIM_MUTABILITY		"mutability"
#define SCIM_INVALID_SYNTAX	"invalidSyntax"
#define SCIM_INVALID_PATH	"invalidPath"
#define SCIM_NO_TARGET		"noTarget"
#define SCIM_INVALID_VALUE	"invalidValue"
#define SCIM_INVALID_VERS	"invalidVers"
#define SCIM_SENSITIVE		"sensitive"
#define SCIM_INVALID_CURSOR	"invalidCursor"
#define SCIM_EXPIRED_CURSOR	"expiredCursor"
#define SCIM_INVALID_COUNT	"invalidCount"

#endif							/* SCIM_CORE_ERROR_H */
