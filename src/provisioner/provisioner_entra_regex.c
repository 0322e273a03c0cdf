/*
 * provisioner_entra_regex.c
 *		Regular expressions of .NET as regular expressions of PostgreSQL.
 *
 * Both have classes, groups and lookaround in nearly one spelling.  What differs:
 *	- .NET names groups; here they have numbers.  A group that nobody refers to
 *	  does not capture.
 *	- "." is not a line feed in .NET.
 *	- .NET takes the first alternative that leads to a match, PostgreSQL the
 *	  longest.  Where the text of a match counts, alternatives are taken only if
 *	  each begins with another letter, so that there is never a choice.
 *	- Lazy quantifiers: PostgreSQL has one preference for a whole expression.
 *	  They are refused, and so is everything else that is not known to mean the
 *	  same: backreferences, options, conditions, \p{...}.
 */
#include "postgres.h"

#include <ctype.h>

#include "catalog/pg_collation.h"
#include "mb/pg_wchar.h"
#include "regex/regex.h"

#include "provisioner_entra.h"

/* A group that is open, or (level 0) the whole. */
typedef struct Level
{
	bool		lookaround;
	bool		target;			/* the group that was asked for */
	bool		start;			/* nothing of this alternative has been read */
	bool		bar;			/* it has alternatives */
	int			first;			/* literal that this one begins with; -1: something else */
	char		firsts[64];		/* those of the alternatives before */
	int			nfirsts;
} Level;

typedef struct Translator
{
	const char *at;
	ScimEntraRegexUse use;
	const char *group;
	StringInfoData out;
	Level		levels[SCIM_ENTRA_MAX_DEPTH];
	int			depth;
	bool		found;			/* the group that was asked for */
	int			begin;			/* its place in out */
	int			end;
	bool		after_atom;		/* a quantifier may follow */
	bool		after_first;	/* the atom was the first of its alternative */
	bool		after_target;	/* the atom was the group */
	List	   *groups;
	const char *problem;
} Translator;

static bool
refuse(Translator *t, const char *problem)
{
	if (t->problem == NULL)
		t->problem = psprintf("regular expression: %s", problem);
	return false;
}

/* An atom begins: -1, or the literal that it is. */
static void
note_atom(Translator *t, int literal)
{
	Level	   *level = &t->levels[t->depth];

	t->after_atom = true;
	t->after_target = false;
	t->after_first = level->start;
	if (level->start)
		level->first = literal;
	level->start = false;
}

/* An alternative ends; "last": and with it its group. */
static bool
end_alternative(Translator *t, bool last)
{
	Level	   *level = &t->levels[t->depth];

	if (!last)
		level->bar = true;
	if (!level->bar || t->use == SCIM_ENTRA_REGEX_MATCH)
		return true;
	if (level->start || level->first < 0 || memchr(level->firsts, level->first, level->nfirsts) != NULL ||
		level->nfirsts == sizeof(level->firsts))
		return refuse(t, "two alternatives may match the same text, of which PostgreSQL takes the longest and .NET the first");
	level->firsts[level->nfirsts++] = (char) level->first;
	return true;
}

/* The name of a group, between "<" and ">" or two apostrophes, at t->at[1]. */
static const char *
group_name(Translator *t)
{
	const char *start = t->at + 2;
	const char *end = strchr(start, t->at[1] == '<' ? '>' : '\'');
	const char *name;

	if (end == NULL)
		return NULL;
	name = pnstrdup(start, end - start);
	for (const char *c = name; *c; c++)
		if (!isalpha((unsigned char) *c) && *c != '_' && (c == name || !isdigit((unsigned char) *c)))
			return NULL;
	t->at = end + 1;
	return name[0] ? name : NULL;
}

static bool
open_group(Translator *t)
{
	static const char *const plain[] = {"?:", "?=", "?!", "?<=", "?<!"};
	const char *opening = NULL;
	const char *name = NULL;
	bool		inside = t->levels[t->depth].lookaround;
	bool		lookaround = inside;
	bool		target = false;

	note_atom(t, -1);
	if (t->depth + 1 >= SCIM_ENTRA_MAX_DEPTH)
		return refuse(t, "groups are nested too deep");
	t->at++;
	for (int i = 0; i < lengthof(plain) && opening == NULL; i++)
		if (strncmp(t->at, plain[i], strlen(plain[i])) == 0)
		{
			opening = psprintf("(%s", plain[i]);
			t->at += strlen(plain[i]);
			lookaround = inside || i > 0;
		}
	if (opening == NULL)
	{
		bool		captures = t->use == SCIM_ENTRA_REGEX_REPLACE;

		if (*t->at == '?')
		{
			if (t->at[1] != '<' && t->at[1] != '\'')
				return refuse(t, "options, conditions and atomic groups are not translated");
			name = group_name(t);
			if (name == NULL)
				return refuse(t, "the name of a group is a word");
		}
		target = name && t->group && strcmp(name, t->group) == 0;
		if (target && t->found)
			return refuse(t, "two groups have the name");
		if (target && t->depth > 0 && t->use == SCIM_ENTRA_REGEX_PART)
			return refuse(t, "the group to replace is inside of another");
		captures = captures || (target && t->use == SCIM_ENTRA_REGEX_EXTRACT);
		if (captures && inside)
			return refuse(t, "a group inside of lookaround does not capture in PostgreSQL");
		if (captures && t->use == SCIM_ENTRA_REGEX_REPLACE)
			t->groups = lappend(t->groups, unconstify(char *, name));
		opening = captures ? "(" : target && t->use == SCIM_ENTRA_REGEX_PART ? "" : "(?:";
		if (target)
		{
			t->found = true;
			t->begin = t->out.len;
		}
	}
	appendStringInfoString(&t->out, opening);
	t->depth++;
	memset(&t->levels[t->depth], 0, sizeof(Level));
	t->levels[t->depth].lookaround = lookaround;
	t->levels[t->depth].target = target;
	t->levels[t->depth].start = true;
	t->after_atom = false;
	return true;
}

static bool
close_group(Translator *t)
{
	bool		target = t->levels[t->depth].target;

	if (t->depth == 0)
		return refuse(t, "\")\" without \"(\"");
	if (!end_alternative(t, true))
		return false;
	if (target && t->use == SCIM_ENTRA_REGEX_PART)
	{
		if (t->levels[t->depth].bar)
			return refuse(t, "the group to replace has alternatives");
		t->end = t->out.len;
	}
	else
		appendStringInfoChar(&t->out, ')');
	t->at++;
	t->depth--;
	t->after_atom = true;
	t->after_first = false;
	t->after_target = target;
	return true;
}

/* \d and its like, inside or outside of brackets. */
static bool
is_class(const char *at)
{
	return at[0] == '\\' && at[1] != '\0' && strchr("dDwWsS", at[1]) != NULL;
}

/* A backslash and what it stands before; "bracket": inside of brackets. */
static bool
translate_escape(Translator *t, bool bracket)
{
	unsigned char c = (unsigned char) t->at[1];
	bool		is_assertion = !bracket && c != '\0' && strchr("bBAz", c) != NULL;

	if (!bracket && !is_assertion)
		note_atom(t, !isalnum(c) ? c : -1);
	if (c == '\0')
		return refuse(t, "a backslash at its end");
	if (is_assertion)
	{
		/* \b is a backspace in PostgreSQL, \Z the end */
		appendStringInfo(&t->out, "\\%c", c == 'b' ? 'y' : c == 'B' ? 'Y' : c == 'z' ? 'Z' : c);
		t->after_atom = false;
	}
	else if (!isalnum(c) && c < 0x80)
		appendStringInfo(&t->out, "\\%c", c);
	else if (strchr("tnrfv", c) != NULL || (bracket ? strchr("dws", c) : strchr("dDwWsS", c)) != NULL)
		appendStringInfo(&t->out, "\\%c", c);
	else if (c == 'u' && strspn(t->at + 2, "0123456789abcdefABCDEF") >= 4)
	{
		appendStringInfo(&t->out, "\\u%.4s", t->at + 2);
		t->at += 4;
	}
	else if (c == 'x' && strspn(t->at + 2, "0123456789abcdefABCDEF") >= 2)
	{
		/* PostgreSQL would take more than two digits */
		appendStringInfo(&t->out, "\\u00%.2s", t->at + 2);
		t->at += 2;
	}
	else
		return refuse(t, psprintf("\"\\%.*s\" is not translated", pg_mblen(t->at + 1), t->at + 1));
	t->at += 2;
	return true;
}

static bool
translate_bracket(Translator *t)
{
	bool		first = true;
	bool		after_class = false;

	note_atom(t, -1);
	appendStringInfoChar(&t->out, *t->at++);
	if (*t->at == '^')
		appendStringInfoChar(&t->out, *t->at++);
	for (; *t->at != ']' || first; first = false)
	{
		bool		class = is_class(t->at);

		if (*t->at == '\0')
			return refuse(t, "\"[\" without \"]\"");
		if (*t->at == '[' && t->at[-1] == '-')
			return refuse(t, "a class without another is not translated");
		if (*t->at == '\\')
		{
			if (!translate_escape(t, true))
				return false;
		}
		else
		{
			/* what the one takes as it is and the other doesn't */
			if (*t->at == '[' || *t->at == ']' || (*t->at == '-' && (after_class || is_class(t->at + 1))))
				appendStringInfoChar(&t->out, '\\');
			appendStringInfoChar(&t->out, *t->at++);
		}
		after_class = class;
	}
	appendStringInfoChar(&t->out, *t->at++);
	return true;
}

static bool
translate_quantifier(Translator *t)
{
	const char *start = t->at;
	int			digits = strspn(start + 1, "0123456789");
	bool		optional = *start == '*' || *start == '?';

	if (!t->after_atom)
		return refuse(t, psprintf("nothing for \"%c\" to repeat", *start));
	if (t->after_target && t->use == SCIM_ENTRA_REGEX_PART)
		return refuse(t, "the group to replace is repeated");
	t->at++;
	if (*start == '{')
	{
		t->at += digits;
		if (digits > 0 && *t->at == ',')
			t->at += 1 + strspn(t->at + 1, "0123456789");
		if (digits == 0 || *t->at != '}')
			return refuse(t, "\"{\" without a count");
		t->at++;
		optional = atoi(start + 1) == 0;
	}
	if (*t->at == '?')
		return refuse(t, "lazy quantifiers are not translated");
	appendBinaryStringInfo(&t->out, start, t->at - start);
	if (optional && t->after_first)
		t->levels[t->depth].first = -1;
	t->after_atom = false;
	return true;
}

static bool
translate_one(Translator *t)
{
	switch (*t->at)
	{
		case '(':
			return open_group(t);
		case ')':
			return close_group(t);
		case '[':
			return translate_bracket(t);
		case '\\':
			return translate_escape(t, false);
		case '*':
		case '+':
		case '?':
		case '{':
			return translate_quantifier(t);
		case '|':
			if (!end_alternative(t, false))
				return false;
			if (t->use == SCIM_ENTRA_REGEX_PART && t->depth == 0)
				return refuse(t, "the group to replace is in one of several alternatives");
			t->levels[t->depth].start = true;
			t->after_atom = false;
			break;
		case '^':
		case '$':
			t->after_atom = false;
			break;
		case '.':
			note_atom(t, -1);
			appendStringInfoString(&t->out, "[^\\n]");
			t->at++;
			return true;
		default:
			note_atom(t, (unsigned char) *t->at);
			appendBinaryStringInfo(&t->out, t->at, pg_mblen(t->at));
			t->at += pg_mblen(t->at);
			return true;
	}
	appendStringInfoChar(&t->out, *t->at++);
	return true;
}

/* Does PostgreSQL take it? */
static bool
compiles(Translator *t, const char *pattern)
{
	pg_wchar   *wide = palloc(sizeof(pg_wchar) * (strlen(pattern) + 1));
	int			len = pg_mb2wchar_with_len(pattern, wide, strlen(pattern));
	char		message[100];
	regex_t		compiled;
	int			code = pg_regcomp(&compiled, wide, len, REG_ADVANCED, DEFAULT_COLLATION_OID);

	if (code != REG_OKAY)
	{
		pg_regerror(code, &compiled, message, sizeof(message));
		return refuse(t, message);
	}
	pg_regfree(&compiled);
	return true;
}

bool
scim_entra_regex(const char *text, ScimEntraRegexUse use, const char *group,
				 ScimEntraRegex *regex, const char **problem)
{
	Translator	t;
	bool		ok = true;

	memset(&t, 0, sizeof(t));
	t.at = text;
	t.use = use;
	t.group = group;
	t.levels[0].start = true;
	initStringInfo(&t.out);
	while (ok && *t.at != '\0')
		ok = translate_one(&t);
	if (ok && t.depth > 0)
		ok = refuse(&t, "\"(\" without \")\"");
	ok = ok && end_alternative(&t, true);
	if (ok && group && !t.found)
		ok = refuse(&t, psprintf("it has no group \"%s\"", group));
	if (ok && use == SCIM_ENTRA_REGEX_PART)
		regex->pattern = psprintf("(%.*s)(%.*s)(%s)", t.begin, t.out.data,
								  t.end - t.begin, t.out.data + t.begin, t.out.data + t.end);
	else
		regex->pattern = t.out.data;
	regex->groups = t.groups;
	ok = ok && compiles(&t, regex->pattern);
	*problem = t.problem;
	return ok;
}

/* ---- replacements ---- */

/*
 * Number of the group that "$name" means.  .NET gives numbers to groups without
 * a name first.
 */
static int
group_number(const ScimEntraRegex *regex, const char *name)
{
	int			wanted = strspn(name, "0123456789") == strlen(name) && strlen(name) < 4 ? atoi(name) : -1;
	int			count = 0;

	for (int named = 0; named < 2; named++)
	{
		ListCell   *lc;

		foreach(lc, regex->groups)
		{
			const char *group = (const char *) lfirst(lc);

			if ((group != NULL) != (named == 1))
				continue;
			if (++count == wanted || (group && strcmp(group, name) == 0))
				return foreach_current_index(lc) + 1;
		}
	}
	return wanted == 0 ? 0 : -1;
}

char *
scim_entra_replacement(const ScimEntraRegex *regex, const char *text, const char **problem)
{
	StringInfoData out;

	initStringInfo(&out);
	for (const char *at = text; *at != '\0'; at++)
	{
		const char *name = NULL;
		int			number;

		if (at[0] == '\\')
			appendStringInfoString(&out, "\\\\");
		else if (at[0] == '$' && at[1] == '$')
		{
			appendStringInfoChar(&out, '$');
			at++;
		}
		else if (at[0] == '$' && at[1] == '&')
		{
			appendStringInfoString(&out, "\\&");
			at++;
		}
		else if (at[0] == '$' && at[1] == '{' && strchr(at, '}') != NULL)
		{
			name = pnstrdup(at + 2, strchr(at, '}') - at - 2);
			at = strchr(at, '}');
		}
		else if (at[0] == '$' && isdigit((unsigned char) at[1]))
		{
			int			len = strspn(at + 1, "0123456789");

			name = pnstrdup(at + 1, len);
			at += len;
		}
		else if (at[0] == '$' && at[1] != '\0' && strchr("`'+_", at[1]) != NULL)
		{
			*problem = psprintf("replacement: \"$%c\" is not translated", at[1]);
			return NULL;
		}
		else
			appendStringInfoChar(&out, *at);
		if (name == NULL)
			continue;
		number = group_number(regex, name);
		if (number < 0 || number > 9)
		{
			*problem = psprintf(number < 0 ? "replacement: there is no group \"%s\"" :
								"replacement: group \"%s\" is not among the first nine", name);
			return NULL;
		}
		appendStringInfo(&out, number == 0 ? "\\&" : "\\%d", number);
	}
	return out.data;
}
