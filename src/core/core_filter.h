/*
 * core_filter.h
 *		Filters (RFC 7644 3.4.2.2 with errata 4690, 7319, 7322).
 *
 * Text -> scim_filter_parse -> tree of names -> scim_filter_bind -> tree of
 * attributes and typed operands -> scim_filter_eval in memory, or the store's
 * SQL.  Two-valued logic throughout (requirements, A-01 to A-03).
 */
#ifndef SCIM_CORE_FILTER_H
#define SCIM_CORE_FILTER_H

#include "core_schema.h"

#define SCIM_FILTER_MAX_LENGTH		4096	/* bytes; POST .search: twice that */
#define SCIM_FILTER_MAX_DEPTH		32
#define SCIM_FILTER_MAX_COMPARISONS	64
#define SCIM_FILTER_MAX_OPERAND		1024	/* bytes */

typedef enum ScimFilterKind
{
	SCIM_FILTER_AND,
	SCIM_FILTER_OR,
	SCIM_FILTER_NOT,			/* left only */
	SCIM_FILTER_COMPARE,		/* attribute, op, operand */
	SCIM_FILTER_VALUE_PATH		/* attribute, left = filter on one value */
} ScimFilterKind;

typedef enum ScimFilterOp
{
	SCIM_OP_EQ, SCIM_OP_NE, SCIM_OP_CO, SCIM_OP_SW, SCIM_OP_EW,
	SCIM_OP_GT, SCIM_OP_GE, SCIM_OP_LT, SCIM_OP_LE, SCIM_OP_PR
} ScimFilterOp;

typedef enum ScimOperandKind
{
	SCIM_OPERAND_NONE,			/* pr */
	SCIM_OPERAND_NULL,
	SCIM_OPERAND_BOOLEAN,
	SCIM_OPERAND_NUMBER,
	SCIM_OPERAND_STRING,
	SCIM_OPERAND_DATETIME		/* only after binding */
} ScimOperandKind;

typedef struct ScimOperand
{
	ScimOperandKind kind;
	const char *text;			/* string: decoded, NUL-terminated; number: its JSON text */
	size_t		len;
	const char *folded;			/* bound string that is not caseExact, else NULL */
	size_t		folded_len;
	bool		boolean;
	bool		is_integer;		/* number without fraction or exponent that fits 64 bits */
	int64_t		integer;
	double		number;
	int64_t		usec;			/* dateTime: see core_value.h */
} ScimOperand;

typedef struct ScimFilter
{
	ScimFilterKind kind;
	struct ScimFilter *left;
	struct ScimFilter *right;
	ScimFilterOp op;
	ScimOperand operand;
	const char *name;			/* attribute as written, with URN; for the printer */
	const char *sub_name;		/* compat, before binding: emails[left].sub_name op operand */
	int			position;		/* byte offset of the node in the text */
	/* set by binding: */
	ScimAttr   *attr;			/* top-level attribute; in a value path's filter: the value's attribute */
	ScimAttr   *sub;			/* sub-attribute compared, or NULL (a simple attribute, or presence of a complex one) */
} ScimFilter;

/*
 * attr and sub after binding:
 *		userName				attr userName, sub NULL
 *		name.givenName			attr name, sub givenName
 *		emails (with operand)	attr emails, sub value (A: stands for value)
 *		emails pr				attr emails, sub NULL
 *		emails[type eq "x"]		VALUE_PATH attr emails; inside: attr emails, sub type
 *		meta.created			attr meta, sub created
 *		schemas					attr schemas, sub NULL
 * A simple multi-valued attribute in brackets (compat: `tags[value eq "x"]`):
 * inside, attr tags, sub NULL.
 *
 * Depth (SCIM_FILTER_MAX_DEPTH): parentheses that the canonical text needs
 * count once for each level of meaning, others once each, so that the
 * canonical text of a filter is never too deep.  A chain `a and b and c` is
 * one level.
 */

/* 400 invalidFilter with position.  "max_length" in bytes. */
extern ScimFilter *scim_filter_parse(const char *text, size_t len, size_t max_length,
									 ScimMode mode, ScimError *err);

/*
 * Resolve names and operand types against a type; 400 invalidFilter.  May be
 * done again, against another type.  Compat's `emails[f].value op x` becomes a
 * value path here.
 */
extern bool scim_filter_bind(const ScimResourceType *type, ScimFilter *filter,
							 ScimMode mode, ScimError *err);

/* Bind the filter of a value path: names are sub-attributes of "attr". */
extern bool scim_filter_bind_value(const ScimResourceType *type, ScimAttr *attr, ScimFilter *filter,
								   ScimMode mode, ScimError *err);

/* Canonical text (filter-vectors.json, "parse"); NULL: memory is out. */
extern char *scim_filter_print(const ScimFilter *filter);

/*
 * Evaluate a bound filter on a whole resource (names in the schema's spelling),
 * or on one value of an attribute.  Where memory for folding is out, the
 * comparison does not match.
 */
extern bool scim_filter_eval(const ScimResourceType *type, const ScimFilter *filter, const json_t *resource);
extern bool scim_filter_eval_value(const ScimFilter *filter, const json_t *value);

/*
 * A conjunction of eq comparisons (value filter): what a value created by
 * PATCH must hold.  Adds the members to "value" (eq null adds none); false: no
 * such conjunction, or memory is out.
 */
extern bool scim_filter_template(const ScimFilter *filter, json_t *value);

#endif							/* SCIM_CORE_FILTER_H */
