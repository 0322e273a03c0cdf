/*
 * core_filter_parse.c
 *		Text -> tree of names (RFC 7644 3.4.2.2; errata 4690, 7319, 7322).
 *
 *	filter	= and *(SP "or" SP and)
 *	and		= term *(SP "and" SP term)
 *	term	= attrPath SP "pr" / attrPath SP op SP operand
 *			/ attrPath "[" filter "]"			not inside another one
 *			/ ["not" [SP]] "(" filter ")"
 *
 * Compat adds `attrPath[filter].sub op operand`, and `not attrPath[filter]`,
 * which is how the canonical text negates a value path.
 *
 * Recursive descent.  Length is checked before anything is read, nesting
 * before each recursion, comparisons and operands as they come.
 */
#include <string.h>

#include "core_filter_internal.h"
#include "core_fold.h"

/*
 * Parentheses and brackets within each other, of whatever use.  The canonical
 * text of 64 comparisons in a chain has 64 levels, so this is more than
 * SCIM_FILTER_MAX_DEPTH; it bounds the recursion.
 */
#define MAX_NESTING (SCIM_FILTER_MAX_DEPTH + SCIM_FILTER_MAX_COMPARISONS + 8)

/* How a part of the filter was written, for its depth. */
typedef enum Shape
{
	SHAPE_COMPARE,				/* a comparison, in at most one pair of parentheses */
	SHAPE_AND,					/* a chain without its parentheses */
	SHAPE_OR,
	SHAPE_AND_CLOSED,			/* with them */
	SHAPE_OR_CLOSED,
	SHAPE_OPEN,					/* anything else that the canonical text encloses */
	SHAPE_OTHER
} Shape;

typedef struct Part
{
	ScimFilter *node;
	int			depth;			/* see core_filter.h */
	Shape		shape;
	bool		enclosed;		/* SHAPE_COMPARE: in parentheses */
} Part;

typedef struct Parser
{
	ScimFilterLexer lexer;
	int			nesting;
	int			comparisons;
	bool		in_brackets;
} Parser;

static bool parse_or(Parser *p, Part *part);

static ScimFilter *
make_node(Parser *p, ScimFilterKind kind, size_t pos)
{
	ScimFilter *node = scim_alloc0(sizeof(ScimFilter));

	if (node == NULL)
	{
		scim_fail_memory(p->lexer.err);
		return NULL;
	}
	node->kind = kind;
	node->position = (int) pos;
	return node;
}

static bool
too_deep(Parser *p, size_t pos)
{
	return scim_fail_at(p->lexer.err, 400, SCIM_INVALID_FILTER, (int) pos,
						"a filter is nested deeper than %d levels", SCIM_FILTER_MAX_DEPTH);
}

static bool
check_depth(Parser *p, const Part *part, size_t pos)
{
	return part->depth <= SCIM_FILTER_MAX_DEPTH || too_deep(p, pos);
}

static bool
save_name(Parser *p, const ScimFilterName *name, const char **out)
{
	*out = scim_strndup(p->lexer.text + name->start, name->len);
	return *out != NULL || scim_fail_memory(p->lexer.err);
}

/* ---- terms ---- */

/* "( filter )"; the lexer stands at the parenthesis. */
static bool
parse_group(Parser *p, Part *part)
{
	size_t		start = p->lexer.pos++;

	if (++p->nesting > MAX_NESTING)
		return too_deep(p, start);
	scim_lex_optional_blanks(&p->lexer);
	if (!parse_or(p, part))
		return false;
	scim_lex_optional_blanks(&p->lexer);
	if (!scim_lex_next_is(&p->lexer, ')'))
		return scim_lex_fail(&p->lexer, p->lexer.pos,
							 p->lexer.pos >= p->lexer.end ? "a parenthesis is not closed" :
							 "\"and\", \"or\" or \")\" is expected");
	p->lexer.pos++;
	p->nesting--;

	switch (part->shape)
	{
		case SHAPE_COMPARE:
			if (part->enclosed)
			{
				part->depth++;
				part->shape = SHAPE_OTHER;
			}
			part->enclosed = true;
			break;
		case SHAPE_AND:
			part->shape = SHAPE_AND_CLOSED;
			break;
		case SHAPE_OR:
			part->shape = SHAPE_OR_CLOSED;
			break;
		case SHAPE_OPEN:
			part->shape = SHAPE_OTHER;
			break;
		default:
			part->depth++;
			part->shape = SHAPE_OTHER;
			break;
	}
	return check_depth(p, part, start);
}

static bool
negate(Parser *p, Part *part, size_t pos)
{
	ScimFilter *node = make_node(p, SCIM_FILTER_NOT, pos);

	if (node == NULL)
		return false;
	node->left = part->node;
	part->node = node;
	/* the parentheses of a comparison are those that "not" needs */
	if (part->shape != SHAPE_COMPARE)
		part->depth++;
	part->shape = SHAPE_OPEN;
	return check_depth(p, part, pos);
}

/* Operator and operand of "node". */
static bool
parse_comparison(Parser *p, ScimFilter *node)
{
	if (++p->comparisons > SCIM_FILTER_MAX_COMPARISONS)
		return scim_fail_at(p->lexer.err, 400, SCIM_INVALID_FILTER, node->position,
							"a filter has more than %d comparisons", SCIM_FILTER_MAX_COMPARISONS);
	if (!scim_lex_operator(&p->lexer, &node->op))
		return false;
	if (node->op == SCIM_OP_PR)
	{
		node->operand.kind = SCIM_OPERAND_NONE;
		return true;
	}
	return scim_lex_operand(&p->lexer, &node->operand);
}

/* "[ filter ]" behind "name"; the lexer stands at the bracket. */
static bool
parse_value_path(Parser *p, const ScimFilterName *name, Part *part)
{
	size_t		start = p->lexer.pos;
	ScimFilter *node;
	ScimFilterName sub;

	if (p->in_brackets)
		return scim_lex_fail(&p->lexer, start, "brackets inside brackets");
	if (name->has_sub)
		return scim_lex_fail(&p->lexer, start, "brackets follow an attribute without sub-attribute");
	if (++p->nesting > MAX_NESTING)
		return too_deep(p, start);
	node = make_node(p, SCIM_FILTER_VALUE_PATH, name->start);
	if (node == NULL || !save_name(p, name, &node->name))
		return false;

	p->lexer.pos++;
	p->in_brackets = true;
	scim_lex_optional_blanks(&p->lexer);
	if (!parse_or(p, part))
		return false;
	scim_lex_optional_blanks(&p->lexer);
	if (!scim_lex_next_is(&p->lexer, ']'))
		return scim_lex_fail(&p->lexer, p->lexer.pos,
							 p->lexer.pos >= p->lexer.end ? "a bracket is not closed" :
							 "\"and\", \"or\" or \"]\" is expected");
	p->lexer.pos++;
	p->in_brackets = false;
	p->nesting--;
	node->left = part->node;
	part->node = node;
	part->shape = SHAPE_OTHER;

	/* Entra's matching attribute: emails[type eq "work"].value eq "x" */
	if (p->lexer.mode == SCIM_COMPAT && scim_lex_next_is(&p->lexer, '.'))
	{
		p->lexer.pos++;
		if (!scim_lex_name(&p->lexer, &sub) || sub.has_uri || sub.has_sub)
			return scim_lex_fail(&p->lexer, p->lexer.pos, "the name of a sub-attribute is expected");
		node->kind = SCIM_FILTER_COMPARE;
		part->shape = SHAPE_OPEN;
		return save_name(p, &sub, &node->sub_name) && parse_comparison(p, node);
	}
	return true;
}

/* Is this `not` the operator?  If so, the lexer is moved to what it negates. */
static bool
take_not(Parser *p, const ScimFilterName *name)
{
	size_t		behind = p->lexer.pos;
	ScimFilterName next;
	bool		blank;
	bool		taken;
	size_t		operand;

	if (!scim_name_eq(p->lexer.text + name->start, name->len, "not"))
		return false;
	blank = scim_lex_blank(&p->lexer);
	if (scim_lex_next_is(&p->lexer, '('))
		return true;

	/* the canonical text: not emails[(type eq "work")] */
	operand = p->lexer.pos;
	taken = false;
	if (p->lexer.mode == SCIM_COMPAT && blank && !p->in_brackets && scim_lex_name(&p->lexer, &next))
	{
		scim_lex_optional_blanks(&p->lexer);
		taken = scim_lex_next_is(&p->lexer, '[');
	}
	p->lexer.pos = taken ? operand : behind;
	return taken;
}

static bool
parse_term(Parser *p, Part *part)
{
	ScimFilterName name;
	size_t		behind;

	if (scim_lex_next_is(&p->lexer, '('))
		return parse_group(p, part);
	if (!scim_lex_name(&p->lexer, &name))
		return scim_lex_fail(&p->lexer, p->lexer.pos, "an attribute name or \"(\" is expected");
	if (take_not(p, &name))
	{
		if (scim_lex_next_is(&p->lexer, '('))
			return parse_group(p, part) && negate(p, part, name.start);
		/* take_not() has seen a name and a bracket */
		behind = name.start;
		scim_lex_name(&p->lexer, &name);
		scim_lex_optional_blanks(&p->lexer);
		if (!parse_value_path(p, &name, part))
			return false;
		if (part->node->kind != SCIM_FILTER_VALUE_PATH)
			return scim_lex_fail(&p->lexer, behind, "\"not\" needs parentheses");
		return negate(p, part, behind);
	}

	behind = p->lexer.pos;
	scim_lex_optional_blanks(&p->lexer);
	if (scim_lex_next_is(&p->lexer, '['))
		return parse_value_path(p, &name, part);
	p->lexer.pos = behind;

	if (p->in_brackets && (name.has_uri || name.has_sub))
		return scim_lex_fail(&p->lexer, name.start, "the name of a sub-attribute is expected");
	part->node = make_node(p, SCIM_FILTER_COMPARE, name.start);
	part->depth = 1;
	part->shape = SHAPE_COMPARE;
	part->enclosed = false;
	return part->node != NULL && save_name(p, &name, &part->node->name) && parse_comparison(p, part->node);
}

/* ---- chains ---- */

/* Levels that an operand of a chain is deep. */
static int
operand_depth(const Part *part)
{
	return part->shape == SHAPE_COMPARE ? 0 : part->depth;
}

/* left = (left op right) */
static bool
join(Parser *p, ScimFilterKind kind, Part *left, const Part *right, size_t pos)
{
	Shape		open = kind == SCIM_FILTER_AND ? SHAPE_AND : SHAPE_OR;
	Shape		closed = kind == SCIM_FILTER_AND ? SHAPE_AND_CLOSED : SHAPE_OR_CLOSED;
	ScimFilter *node = make_node(p, kind, pos);
	int			depth;

	if (node == NULL)
		return false;
	node->left = left->node;
	node->right = right->node;
	left->node = node;
	/* (a and b) and c is the chain a and b and c */
	depth = left->shape == open || left->shape == closed ? left->depth : 1 + operand_depth(left);
	if (depth < 1 + operand_depth(right))
		depth = 1 + operand_depth(right);
	left->depth = depth;
	left->shape = open;
	return check_depth(p, left, pos);
}

static bool
parse_and(Parser *p, Part *part)
{
	Part		right;
	size_t		pos;

	if (!parse_term(p, part))
		return false;
	for (;;)
	{
		pos = p->lexer.pos;
		if (!scim_lex_keyword(&p->lexer, "and"))
			return true;
		if (!parse_term(p, &right) || !join(p, SCIM_FILTER_AND, part, &right, pos))
			return false;
	}
}

static bool
parse_or(Parser *p, Part *part)
{
	Part		right;
	size_t		pos;

	if (!parse_and(p, part))
		return false;
	for (;;)
	{
		pos = p->lexer.pos;
		if (!scim_lex_keyword(&p->lexer, "or"))
			return true;
		if (!parse_and(p, &right) || !join(p, SCIM_FILTER_OR, part, &right, pos))
			return false;
	}
}

/* ---- entry ---- */

static ScimFilter *
parse_text(const char *text, size_t start, size_t end, bool in_brackets, ScimMode mode, ScimError *err)
{
	Parser		p;
	Part		part;
	size_t		bad;

	memset(&p, 0, sizeof(p));
	p.lexer.text = text;
	p.lexer.pos = start;
	p.lexer.end = end;
	p.lexer.mode = mode;
	p.lexer.err = err;
	p.in_brackets = in_brackets;

	if (!scim_utf8_valid(text + start, end - start, &bad))
	{
		scim_fail_at(err, 400, SCIM_INVALID_FILTER, (int) (start + bad), "the filter is not valid UTF-8");
		return NULL;
	}
	scim_lex_optional_blanks(&p.lexer);
	if (!parse_or(&p, &part))
		return NULL;
	scim_lex_optional_blanks(&p.lexer);
	if (p.lexer.pos < end)
	{
		scim_lex_fail(&p.lexer, p.lexer.pos, "\"and\", \"or\" or the end of the filter is expected");
		return NULL;
	}
	return part.node;
}

ScimFilter *
scim_filter_parse(const char *text, size_t len, size_t max_length, ScimMode mode, ScimError *err)
{
	if (len > max_length)
	{
		scim_fail_at(err, 400, SCIM_INVALID_FILTER, (int) max_length,
					 "a filter is longer than %d bytes", (int) max_length);
		return NULL;
	}
	return parse_text(text, 0, len, false, mode, err);
}

ScimFilter *
scim_filter_parse_value(const char *text, size_t start, size_t end, ScimMode mode, ScimError *err)
{
	if (end - start > SCIM_FILTER_MAX_LENGTH)
	{
		scim_fail_at(err, 400, SCIM_INVALID_FILTER, (int) start,
					 "a filter is longer than %d bytes", SCIM_FILTER_MAX_LENGTH);
		return NULL;
	}
	return parse_text(text, start, end, true, mode, err);
}
