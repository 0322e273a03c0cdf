/*
 * provisioner_entra_scope.c
 *		Scoping filters of Entra as the scope of a sync.
 *
 * A row is in scope if all clauses of any group hold.  A clause is written as
 * the expression it would be; functions that only a scope has begin with "$",
 * which no expression can.  An attribute that is null or empty makes a clause
 * false, unless the clause asks for that.
 *
 * A scope is translated as a whole or not at all: a part of it would be wider
 * than what was meant.
 */
#include "postgres.h"

#include "provisioner_entra.h"

/* EQUALS, Greater_Than_OR_EQUALS, ...: letters without case, and & and ! */
static char *
operator_name(const char *name)
{
	char	   *out = palloc(strlen(name) + 1);
	char	   *end = out;

	for (const char *at = name; *at; at++)
		if (*at != ' ' && *at != '_' && *at != '-')
			*end++ = pg_toupper((unsigned char) *at);
	*end = '\0';
	return out;
}

static ScimEntraNode *
call(const char *name, ScimEntraNode *first, ScimEntraNode *second)
{
	ScimEntraNode *node = scim_entra_node(SCIM_ENTRA_CALL, name, 0);

	scim_entra_node_add(node, first);
	if (second)
		scim_entra_node_add(node, second);
	return node;
}

static ScimEntraNode *
compare(const char *operator, ScimEntraNode *first, ScimEntraNode *second)
{
	ScimEntraNode *node = scim_entra_node(SCIM_ENTRA_COMPARE, operator, 0);

	scim_entra_node_add(node, first);
	scim_entra_node_add(node, second);
	return node;
}

/* The condition of an operator with one value ("": it needs none); NULL: unknown. */
static ScimEntraNode *
clause_node(const char *operator, ScimEntraNode *attribute, const char *value)
{
	ScimEntraNode *present = call("$Value", attribute, NULL);
	ScimEntraNode *constant = scim_entra_node(SCIM_ENTRA_CONSTANT, value, 0);

	if (strcmp(operator, "EQUALS") == 0)
		return compare("=", present, constant);
	if (strcmp(operator, "NOTEQUALS") == 0)
		return compare("<>", present, constant);
	if (strcmp(operator, "ISTRUE") == 0)
		return call("$Boolean", attribute, NULL);
	if (strcmp(operator, "ISFALSE") == 0)
		return call("$Not", call("$Boolean", attribute, NULL), NULL);
	if (strcmp(operator, "ISNULL") == 0)
		return call("IsNullOrEmpty", attribute, NULL);
	if (strcmp(operator, "ISNOTNULL") == 0)
		return call("IsPresent", attribute, NULL);
	if (strcmp(operator, "GREATERTHAN") == 0 || strcmp(operator, "GREATERTHANOREQUALS") == 0)
		return compare(operator[11] ? ">=" : ">", call("$Number", present, NULL), constant);
	if (strcmp(operator, "INCLUDES") == 0)
		return call("$Contains", present, constant);
	if (strcmp(operator, "&") == 0)
		return call("$Contains", constant, present);
	if (strcmp(operator, "!&") == 0)
		return call("$Not", call("$Contains", constant, present), NULL);
	if (strcmp(operator, "ENDSWITH") == 0)
		return call("$EndsWith", present, constant);
	if (strcmp(operator, "REGEXMATCH") == 0)
		return call("$Matches", present, constant);
	if (strcmp(operator, "NOTREGEXMATCH") == 0)
		return call("$Not", call("$Matches", present, constant), NULL);
	return NULL;
}

/* The SQL of a clause; NULL: the scope has a problem. */
static const char *
clause_sql(const ScimEntraColumns *columns, JsonbContainer *clause, StringInfo source, ScimEntraScope *scope)
{
	char	   *name = clause ? scim_entra_string(clause, "operatorName") : NULL;
	char	   *operand = clause ? scim_entra_string(clause, "sourceOperandName") : NULL;
	JsonbContainer *target = clause ? scim_entra_object(scim_entra_member(clause, "targetOperand")) : NULL;
	JsonbContainer *values = target ? scim_entra_array(target, "values") : NULL;
	uint32		nvalues = values ? JsonContainerSize(values) : 0;
	ScimEntraNode *attribute;
	ScimEntraNode *node;
	ScimEntraSql sql;
	char	   *operator;
	bool		unary;
	char	   *value = "";

	if (name == NULL || operand == NULL)
	{
		scope->sql.problem = "a clause of the scope lacks its operator or its attribute";
		return NULL;
	}
	operator = operator_name(name);
	unary = strncmp(operator, "IS", 2) == 0;
	if (!unary)
	{
		JsonbValue *first = nvalues == 1 ? getIthJsonbValueFromContainer(values, 0) : NULL;

		if (first == NULL || first->type != jbvString)
		{
			scope->sql.problem = psprintf("operator %s of the scope needs one value", name);
			return NULL;
		}
		value = pnstrdup(first->val.string.val, first->val.string.len);
	}
	appendStringInfo(source, "%s %s%s%s", operand, name, unary ? "" : " ", value);
	attribute = scim_entra_node(SCIM_ENTRA_ATTRIBUTE, operand, 0);
	scope->attributes = lappend(scope->attributes, operand);
	node = clause_node(operator, attribute, value);
	if (node == NULL)
	{
		scope->sql.problem = psprintf("operator %s of the scope is not known", name);
		return NULL;
	}
	sql = scim_entra_condition(columns, node);
	scope->sql.notes = list_concat(scope->sql.notes, sql.notes);
	scope->sql.problem = sql.problem;
	return sql.sql;
}

/* A group's clauses, added to both texts. */
static void
add_group(const ScimEntraColumns *columns, JsonbContainer *group, StringInfo source, StringInfo sql, ScimEntraScope *scope)
{
	JsonbContainer *clauses = group ? scim_entra_array(group, "clauses") : NULL;
	uint32		nclauses = clauses ? JsonContainerSize(clauses) : 0;

	if (nclauses == 0)
		scope->sql.problem = "a group of the scope has no clauses";
	appendStringInfoString(source, source->len ? " OR (" : "(");
	appendStringInfo(sql, "%s%s", sql->len ? " OR " : "", nclauses > 1 ? "(" : "");
	for (uint32 i = 0; i < nclauses && scope->sql.problem == NULL; i++)
	{
		JsonbContainer *clause = scim_entra_object(getIthJsonbValueFromContainer(clauses, i));
		const char *part;

		appendStringInfoString(source, i ? " AND " : "");
		part = clause_sql(columns, clause, source, scope);
		if (part)
			appendStringInfo(sql, "%s%s", i ? " AND " : "", part);
		if (sql->len > SCIM_ENTRA_MAX_SQL)
			scope->sql.problem = psprintf("it would be more than %d bytes of SQL", SCIM_ENTRA_MAX_SQL);
	}
	appendStringInfoChar(source, ')');
	appendStringInfoString(sql, nclauses > 1 ? ")" : "");
}

ScimEntraScope
scim_entra_scope(const ScimEntraColumns *columns, JsonbContainer *object)
{
	static const char *const others[] = {"inputFilterGroups", "categoryFilterGroups"};
	JsonbContainer *groups = object ? scim_entra_array(object, "groups") : NULL;
	ScimEntraScope scope;
	StringInfoData source;
	StringInfoData sql;

	memset(&scope, 0, sizeof(scope));
	initStringInfo(&source);
	initStringInfo(&sql);
	for (int i = 0; object && i < lengthof(others); i++)
	{
		JsonbContainer *other = scim_entra_array(object, others[i]);

		if (other && JsonContainerSize(other) > 0)
			scope.sql.problem = psprintf("%s of a scope are not translated", others[i]);
	}
	for (uint32 i = 0; groups && i < JsonContainerSize(groups) && scope.sql.problem == NULL; i++)
		add_group(columns, scim_entra_object(getIthJsonbValueFromContainer(groups, i)), &source, &sql, &scope);
	if (source.len > 0)
		scope.source = source.data;
	if (scope.sql.problem == NULL && sql.len > 0)
		scope.sql.sql = psprintf("(%s) IS TRUE", sql.data);
	return scope;
}
