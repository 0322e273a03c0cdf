/*
 * core_filter_internal.h
 *		What the files of filters and paths share, and nobody else sees.
 *
 *	core_filter_lex.c	names, operators, operands
 *	core_filter_parse.c	text -> tree
 *	core_filter_bind.c	names -> attributes, operands -> typed values
 *	core_filter_eval.c	on a resource in memory
 *	core_filter_print.c	tree -> canonical text
 *	core_path.c			paths, which hold filters in brackets
 */
#ifndef SCIM_CORE_FILTER_INTERNAL_H
#define SCIM_CORE_FILTER_INTERNAL_H

#include "core_filter.h"

typedef struct ScimFilterLexer
{
	const char *text;
	size_t		end;			/* where the filter ends in text */
	size_t		pos;
	ScimMode	mode;
	ScimError  *err;
} ScimFilterLexer;

/* A name as written: [URI ":"] ATTRNAME ["." ATTRNAME] */
typedef struct ScimFilterName
{
	size_t		start;
	size_t		len;
	bool		has_uri;
	bool		has_sub;
} ScimFilterName;

/* 400 invalidFilter at "pos"; returns false. */
extern bool scim_lex_fail(ScimFilterLexer *lexer, size_t pos, const char *expected);

/* Is "c" the next character? */
extern bool scim_lex_next_is(const ScimFilterLexer *lexer, char c);

/* The blank that the grammar wants: strict one SP, compat any run; false: none. */
extern bool scim_lex_blank(ScimFilterLexer *lexer);

/* Blanks where the grammar has none: compat skips them. */
extern void scim_lex_optional_blanks(ScimFilterLexer *lexer);

/* A name; on failure nothing is consumed and err is left alone. */
extern bool scim_lex_name(ScimFilterLexer *lexer, ScimFilterName *name);

/* Blank, operator; 400 names an unknown operator. */
extern bool scim_lex_operator(ScimFilterLexer *lexer, ScimFilterOp *op);

/* Blank, literal, number or string. */
extern bool scim_lex_operand(ScimFilterLexer *lexer, ScimOperand *operand);

/* Consumes "blank keyword blank" (and, or), or nothing. */
extern bool scim_lex_keyword(ScimFilterLexer *lexer, const char *keyword);

extern const char *scim_filter_op_name(ScimFilterOp op);

/* Length of the ATTRNAME at the start of text; 0: none. */
extern size_t scim_attrname_length(const char *text, size_t len);

/*
 * The filter of a value path that stands at text[start, end): positions in
 * errors count from the start of text.
 */
extern ScimFilter *scim_filter_parse_value(const char *text, size_t start, size_t end,
										   ScimMode mode, ScimError *err);

#endif							/* SCIM_CORE_FILTER_INTERNAL_H */
