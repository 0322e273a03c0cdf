/*
 * provisioner_entra_parse.c
 *		Expressions of Microsoft Entra's attribute mappings, from their text or
 *		from the tree that Microsoft Graph exports beside it.
 *
 *		expression	= operand [ ( "=" / "<>" / "<" / "<=" / ">" / ">=" ) operand ]
 *		operand		= "[" attribute "]" / string / number / word
 *					/ name "(" [ argument *( "," argument ) ] ")"
 *		argument	= [ expression ]
 *
 * In a string, a backslash stands before a quotation mark or a backslash; before
 * anything else it is itself, because people write regular expressions without
 * doubling it.
 */
#include "postgres.h"

#include <ctype.h>

#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "provisioner_entra.h"

typedef struct Parser
{
	const char *text;
	const char *at;
	int			depth;
	const char *problem;
} Parser;

static ScimEntraNode *parse_expression(Parser *p);

ScimEntraNode *
scim_entra_node(ScimEntraKind kind, const char *text, int position)
{
	ScimEntraNode *node = palloc0(sizeof(ScimEntraNode));

	node->kind = kind;
	node->text = text;
	node->position = position;
	return node;
}

void
scim_entra_node_add(ScimEntraNode *parent, ScimEntraNode *child)
{
	/* room for a power of two */
	if ((parent->nargs & (parent->nargs - 1)) == 0)
	{
		Size		size = sizeof(ScimEntraNode *) * Max(parent->nargs * 2, 1);

		parent->args = parent->args ? repalloc(parent->args, size) : palloc(size);
	}
	parent->args[parent->nargs++] = child;
}

List *
scim_entra_attributes(const ScimEntraNode *node)
{
	List	   *names = NIL;

	if (node->kind == SCIM_ENTRA_ATTRIBUTE)
		names = lappend(names, unconstify(char *, node->text));
	for (int i = 0; i < node->nargs; i++)
		names = list_concat(names, scim_entra_attributes(node->args[i]));
	return names;
}

/* ---- text ---- */

static int
position_of(const Parser *p, const char *at)
{
	return pg_mbstrlen_with_len(p->text, at - p->text) + 1;
}

/* The first problem counts. */
static ScimEntraNode *
malformed(Parser *p, const char *at, const char *problem)
{
	if (p->problem == NULL)
		p->problem = psprintf("%s (character %d of the expression)", problem, position_of(p, at));
	return NULL;
}

static void
skip_space(Parser *p)
{
	while (isspace((unsigned char) *p->at))
		p->at++;
}

static ScimEntraNode *
parse_attribute(Parser *p)
{
	const char *start = p->at;
	const char *end = strchr(start, ']');

	if (end == NULL)
		return malformed(p, start, "an attribute without \"]\"");
	if (end == start + 1)
		return malformed(p, start, "an attribute without a name");
	p->at = end + 1;
	return scim_entra_node(SCIM_ENTRA_ATTRIBUTE, pnstrdup(start + 1, end - start - 1), position_of(p, start));
}

static ScimEntraNode *
parse_string(Parser *p)
{
	const char *start = p->at;
	char	   *value = palloc(strlen(start));
	int			len = 0;

	for (p->at++; *p->at != '"'; p->at++)
	{
		if (*p->at == '\0')
			return malformed(p, start, "a string without its end");
		if (*p->at == '\\' && (p->at[1] == '"' || p->at[1] == '\\'))
			p->at++;
		value[len++] = *p->at;
	}
	p->at++;
	value[len] = '\0';
	return scim_entra_node(SCIM_ENTRA_CONSTANT, value, position_of(p, start));
}

static ScimEntraNode *
parse_number(Parser *p)
{
	const char *start = p->at;
	bool		fraction = false;

	if (p->at[0] == '&')
	{
		uint64		value = 0;
		int			ndigits = 0;

		for (p->at += 2; isxdigit((unsigned char) *p->at); p->at++, ndigits++)
		{
			unsigned char c = (unsigned char) *p->at;

			value = value * 16 + (isdigit(c) ? c - '0' : tolower(c) - 'a' + 10);
		}
		if (ndigits == 0 || ndigits > 15)
			return malformed(p, start, "&H without 1 to 15 hexadecimal digits");
		return scim_entra_node(SCIM_ENTRA_NUMBER, psprintf(UINT64_FORMAT, value), position_of(p, start));
	}
	if (*p->at == '-' || *p->at == '+')
		p->at++;
	if (!isdigit((unsigned char) *p->at))
		return malformed(p, start, "a sign without a number");
	for (; isdigit((unsigned char) *p->at) || (*p->at == '.' && !fraction && isdigit((unsigned char) p->at[1])); p->at++)
		fraction = fraction || *p->at == '.';
	if (p->at - start > 40)
		return malformed(p, start, "a number of more than 40 digits");
	if (*start == '+')
		start++;
	return scim_entra_node(SCIM_ENTRA_NUMBER, pnstrdup(start, p->at - start), position_of(p, start));
}

static bool
is_word(char c)
{
	return isalnum((unsigned char) c) || c == '_' || c == '.';
}

static ScimEntraNode *
parse_arguments(Parser *p, ScimEntraNode *call)
{
	const char *start = p->at;

	p->at++;
	skip_space(p);
	if (*p->at == ')')
	{
		p->at++;
		return call;
	}
	for (;;)
	{
		ScimEntraNode *argument;

		skip_space(p);
		if (*p->at == ',' || *p->at == ')')
			argument = scim_entra_node(SCIM_ENTRA_OMITTED, "", position_of(p, p->at));
		else
			argument = parse_expression(p);
		if (argument == NULL)
			return NULL;
		scim_entra_node_add(call, argument);
		skip_space(p);
		if (*p->at == ')')
			break;
		if (*p->at == '\0')
			return malformed(p, start, "\"(\" without \")\"");
		if (*p->at != ',')
			return malformed(p, p->at, "\",\" or \")\" expected");
		p->at++;
	}
	p->at++;
	return call;
}

static ScimEntraNode *
parse_operand(Parser *p)
{
	const char *start;
	ScimEntraNode *node;

	skip_space(p);
	start = p->at;
	if (*start == '[')
		return parse_attribute(p);
	if (*start == '"')
		return parse_string(p);
	if (isdigit((unsigned char) *start) || *start == '-' || *start == '+' ||
		(*start == '&' && (start[1] == 'H' || start[1] == 'h')))
		return parse_number(p);
	if (!isalpha((unsigned char) *start))
		return malformed(p, start, *start ? "an attribute, a string, a number or a function expected" :
						 "the expression ends where a value is expected");
	while (is_word(*p->at))
		p->at++;
	node = scim_entra_node(SCIM_ENTRA_WORD, pnstrdup(start, p->at - start), position_of(p, start));
	skip_space(p);
	if (*p->at != '(')
		return node;
	if (p->depth >= SCIM_ENTRA_MAX_DEPTH)
		return malformed(p, start, "functions are nested too deep");
	node->kind = SCIM_ENTRA_CALL;
	p->depth++;
	node = parse_arguments(p, node);
	p->depth--;
	return node;
}

static const char *
comparison_at(const char *at)
{
	static const char *const operators[] = {"<>", "<=", ">=", "=", "<", ">"};

	for (int i = 0; i < lengthof(operators); i++)
		if (strncmp(at, operators[i], strlen(operators[i])) == 0)
			return operators[i];
	return NULL;
}

static ScimEntraNode *
parse_expression(Parser *p)
{
	ScimEntraNode *left = parse_operand(p);
	ScimEntraNode *right;
	ScimEntraNode *node;
	const char *operator;

	if (left == NULL)
		return NULL;
	skip_space(p);
	operator = comparison_at(p->at);
	if (operator == NULL)
		return left;
	node = scim_entra_node(SCIM_ENTRA_COMPARE, operator, position_of(p, p->at));
	p->at += strlen(operator);
	right = parse_operand(p);
	if (right == NULL)
		return NULL;
	scim_entra_node_add(node, left);
	scim_entra_node_add(node, right);
	return node;
}

ScimEntraNode *
scim_entra_parse(const char *text, const char **problem)
{
	Parser		p = {.text = text, .at = text};
	ScimEntraNode *node;

	if (pg_mbstrlen(text) > SCIM_ENTRA_MAX_TEXT)
	{
		*problem = psprintf("an expression has at most %d characters", SCIM_ENTRA_MAX_TEXT);
		return NULL;
	}
	node = parse_expression(&p);
	skip_space(&p);
	if (node && *p.at != '\0')
		node = malformed(&p, p.at, "nothing more expected");
	*problem = p.problem;
	return node;
}

/* ---- JSON ---- */

JsonbValue *
scim_entra_member(JsonbContainer *object, const char *name)
{
	JsonbValue *value = getKeyJsonValueFromContainer(object, name, strlen(name), NULL);

	return value == NULL || value->type == jbvNull ? NULL : value;
}

char *
scim_entra_string(JsonbContainer *object, const char *name)
{
	JsonbValue *value = scim_entra_member(object, name);

	return value && value->type == jbvString ? pnstrdup(value->val.string.val, value->val.string.len) : NULL;
}

JsonbContainer *
scim_entra_array(JsonbContainer *object, const char *name)
{
	JsonbValue *value = scim_entra_member(object, name);

	return value && value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data) ? value->val.binary.data : NULL;
}

JsonbContainer *
scim_entra_object(const JsonbValue *value)
{
	return value && value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data) ? value->val.binary.data : NULL;
}

static ScimEntraNode *source_node(JsonbContainer *source, int depth, const char **problem);

/*
 * Parameters that were left out are not in the list: a name tells the place;
 * without one that is known it is the next.
 */
static bool
add_parameters(ScimEntraNode *call, JsonbContainer *parameters, int depth, const char **problem)
{
	int			next = 0;

	for (uint32 i = 0; i < JsonContainerSize(parameters); i++)
	{
		JsonbContainer *pair = scim_entra_object(getIthJsonbValueFromContainer(parameters, i));
		JsonbContainer *value = pair ? scim_entra_object(scim_entra_member(pair, "value")) : NULL;
		char	   *key = pair ? scim_entra_string(pair, "key") : NULL;
		int			place = key ? scim_entra_parameter(call->text, key) : -1;
		ScimEntraNode *argument;

		if (value == NULL)
		{
			*problem = psprintf("parameter %u of %s has no value", i + 1, call->text);
			return false;
		}
		argument = source_node(value, depth, problem);
		if (argument == NULL)
			return false;
		if (place < 0)
			place = next;
		while (call->nargs <= place)
			scim_entra_node_add(call, scim_entra_node(SCIM_ENTRA_OMITTED, "", 0));
		call->args[place] = argument;
		next = place + 1;
	}
	return true;
}

static ScimEntraNode *
source_node(JsonbContainer *source, int depth, const char **problem)
{
	char	   *type = scim_entra_string(source, "type");
	char	   *name = scim_entra_string(source, "name");
	char	   *expression = scim_entra_string(source, "expression");
	JsonbContainer *parameters = scim_entra_array(source, "parameters");
	ScimEntraNode *call;

	if (depth > SCIM_ENTRA_MAX_DEPTH)
	{
		*problem = "functions are nested too deep";
		return NULL;
	}
	if (name && (type == NULL || pg_strcasecmp(type, "Attribute") == 0) && name[0] != '\0')
		return scim_entra_node(SCIM_ENTRA_ATTRIBUTE, name, 0);
	if (name && type && pg_strcasecmp(type, "Constant") == 0)
		return scim_entra_node(SCIM_ENTRA_CONSTANT, name, 0);
	if (expression && expression[0] != '\0')
		return scim_entra_parse(expression, problem);
	if (name == NULL || type == NULL || pg_strcasecmp(type, "Function") != 0)
	{
		*problem = "the source is neither an attribute nor a constant nor a function";
		return NULL;
	}
	call = scim_entra_node(SCIM_ENTRA_CALL, name, 0);
	return parameters == NULL || add_parameters(call, parameters, depth + 1, problem) ? call : NULL;
}

ScimEntraNode *
scim_entra_source(JsonbContainer *source, const char **problem)
{
	*problem = NULL;
	return source_node(source, 1, problem);
}
