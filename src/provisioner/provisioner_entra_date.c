/*
 * provisioner_entra_date.c
 *		Entra's functions of dates, in SQL.
 *
 * A date is a timestamp in UTC, and never depends on the time zone of the
 * session; as text it is M/d/yyyy h:mm:ss tt (provisioner_entra_sql.c).
 */
#include "postgres.h"

#include <ctype.h>

#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "provisioner_entra_value.h"

ScimEntraValue *
scim_entra_c_date(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	return scim_entra_value(c, SCIM_ENTRA_TIME, "%s", scim_entra_time(c, scim_entra_arg(node, 0)));
}

ScimEntraValue *
scim_entra_now(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	scim_entra_note(c, "Now: that time has passed changes no row, so it is noticed only when all rows are reconciled");
	return scim_entra_value(c, SCIM_ENTRA_TIME, "pg_catalog.timezone('UTC', pg_catalog.now())");
}

/* Names of make_interval and divisors of DateDiff. */
static const struct
{
	const char *name;
	const char *argument;
	int			seconds;		/* 0: counted in the calendar */
}			intervals[] = {
	{"yyyy", "years", 0}, {"m", "months", 0}, {"d", "days", 86400}, {"ww", "weeks", 604800},
	{"h", "hours", 3600}, {"n", "mins", 60}, {"s", "secs", 1}
};

static int
interval_of(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	const char *name = scim_entra_constant_text(c, node);

	for (int i = 0; i < lengthof(intervals); i++)
		if (pg_strcasecmp(intervals[i].name, name) == 0)
			return i;
	scim_entra_problem(c, node, "\"%s\" is no interval: there are yyyy, m, d, ww, h, n and s", name);
	return 0;
}

ScimEntraValue *
scim_entra_date_add(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	int			interval = interval_of(c, scim_entra_arg(node, 0));
	const char *number = scim_entra_integer(c, scim_entra_arg(node, 1), PG_INT32_MIN);

	return scim_entra_value(c, SCIM_ENTRA_TIME, "(%s OPERATOR(pg_catalog.+) pg_catalog.make_interval(%s => %s))",
							scim_entra_time(c, scim_entra_arg(node, 2)), intervals[interval].argument, number);
}

/* Years and months are those of the calendar, weeks begin on Sunday, the rest is whole units gone by. */
ScimEntraValue *
scim_entra_date_diff(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	int			interval = interval_of(c, scim_entra_arg(node, 0));
	const char *from = scim_entra_time(c, scim_entra_arg(node, 1));
	const char *to = scim_entra_time(c, scim_entra_arg(node, 2));
	const char *months = "(EXTRACT(year FROM %s) OPERATOR(pg_catalog.*) 12 OPERATOR(pg_catalog.+) EXTRACT(month FROM %s))";
	const char *sunday = "pg_catalog.date_trunc('week', %s OPERATOR(pg_catalog.+) '1 day'::pg_catalog.interval)";

	if (strcmp(intervals[interval].name, "yyyy") == 0)
		return scim_entra_value(c, SCIM_ENTRA_NUMERIC, "(EXTRACT(year FROM %s) OPERATOR(pg_catalog.-) EXTRACT(year FROM %s))", to, from);
	if (strcmp(intervals[interval].name, "m") == 0)
		return scim_entra_value(c, SCIM_ENTRA_NUMERIC, "(%s OPERATOR(pg_catalog.-) %s)",
								psprintf(months, to, to), psprintf(months, from, from));
	if (strcmp(intervals[interval].name, "ww") == 0)
	{
		from = psprintf(sunday, from);
		to = psprintf(sunday, to);
	}
	return scim_entra_value(c, SCIM_ENTRA_NUMERIC,
							"pg_catalog.trunc(EXTRACT(epoch FROM (%s OPERATOR(pg_catalog.-) %s)) OPERATOR(pg_catalog./) %d)",
							to, from, intervals[interval].seconds);
}

/* Ticks of 100 ns since 1601. */
ScimEntraValue *
scim_entra_date_from_num(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	return scim_entra_value(c, SCIM_ENTRA_TIME,
							"pg_catalog.timezone('UTC', pg_catalog.to_timestamp(((%s)::pg_catalog.numeric"
							" OPERATOR(pg_catalog./) 10000000 OPERATOR(pg_catalog.-) 11644473600)::pg_catalog.float8))",
							scim_entra_number(c, scim_entra_arg(node, 0)));
}

ScimEntraValue *
scim_entra_num_from_date(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	return scim_entra_value(c, SCIM_ENTRA_NUMERIC,
							"pg_catalog.trunc((EXTRACT(epoch FROM %s) OPERATOR(pg_catalog.+) 11644473600) OPERATOR(pg_catalog.*) 10000000)",
							scim_entra_time(c, scim_entra_arg(node, 0)));
}

static const struct
{
	const char *net;
	const char *input;			/* NULL: only in a result */
	const char *output;
}			date_parts[] = {
	{"yyyy", "YYYY", "YYYY"}, {"yy", "YY", "YY"},
	{"MMMM", "Month", "FMMonth"}, {"MMM", "Mon", "Mon"}, {"MM", "MM", "MM"}, {"M", "MM", "FMMM"},
	{"dddd", NULL, "FMDay"}, {"ddd", NULL, "Dy"}, {"dd", "DD", "DD"}, {"d", "DD", "FMDD"},
	{"HH", "HH24", "HH24"}, {"H", "HH24", "FMHH24"}, {"hh", "HH12", "HH12"}, {"h", "HH12", "FMHH12"},
	{"mm", "MI", "MI"}, {"m", "MI", "FMMI"}, {"ss", "SS", "SS"}, {"s", "SS", "FMSS"}, {"tt", "AM", "AM"},
	{"ffffff", "FF6", "FF6"}, {"fffff", "FF5", "FF5"}, {"ffff", "FF4", "FF4"}, {"fff", "FF3", "FF3"},
	{"ff", "FF2", "FF2"}, {"f", "FF1", "FF1"}, {"zzz", "TZH:TZM", "\"+00:00\""}
};

/*
 * A format of .NET as a template of to_timestamp or to_char.  What is no part
 * of a date stands between quotation marks.  *zone: it has an offset.
 */
static char *
date_template(ScimEntraCompiler *c, const ScimEntraNode *node, bool input, bool *zone)
{
	const char *at = scim_entra_constant_text(c, node);
	char		quote = '\0';
	StringInfoData out;

	*zone = false;
	initStringInfo(&out);
	if (*at == '\0' || (at[1] == '\0' && isalpha((unsigned char) *at)))
		scim_entra_problem(c, node, "a custom date and time format is needed");
	while (*at != '\0' && c->problem == NULL)
	{
		int			run = 1;
		int			i = 0;

		if (quote ? *at == quote : *at == '\'' || *at == '"')
		{
			quote = quote ? '\0' : *at;
			at++;
			continue;
		}
		while (at[run] == *at)
			run++;
		while (!quote && i < lengthof(date_parts) &&
			   ((int) strlen(date_parts[i].net) != run || strncmp(date_parts[i].net, at, run) != 0))
			i++;
		if (!quote && i < lengthof(date_parts))
		{
			if (input && date_parts[i].input == NULL)
				scim_entra_problem(c, node, "\"%s\" is not translated in the format of an input", date_parts[i].net);
			else
				appendStringInfoString(&out, input ? date_parts[i].input : date_parts[i].output);
			*zone = *zone || date_parts[i].net[0] == 'z';
			at += run;
			continue;
		}
		if (!quote && strchr("yMdHhmstfFgKz%", *at) != NULL)
		{
			scim_entra_problem(c, node, "\"%.*s\" is not translated in a format", run, at);
			break;
		}
		if (*at == '\\' && at[1] != '\0')
			at++;
		appendStringInfo(&out, "\"%s%.*s\"", *at == '"' || *at == '\\' ? "\\" : "", pg_mblen(at), at);
		at += pg_mblen(at);
	}
	if (quote)
		scim_entra_problem(c, node, "a format with an open quotation mark");
	return out.data;
}

ScimEntraValue *
scim_entra_format_date_time(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	static const char *const styles[] = {"", "None", "RoundtripKind", "AssumeUniversal", "AdjustToUniversal",
	"AllowLeadingWhite", "AllowTrailingWhite", "AllowInnerWhite", "AllowWhiteSpaces"};
	ScimEntraValue *source = scim_entra_compile(c, scim_entra_arg(node, 0));
	const char *style = scim_entra_given(node, 1) ? scim_entra_constant_text(c, scim_entra_arg(node, 1)) : "";
	bool		known = false;
	bool		zone;
	const char *sql;
	char	   *template;

	for (int i = 0; i < lengthof(styles); i++)
		known = known || pg_strcasecmp(styles[i], style) == 0;
	if (!known)
		scim_entra_problem(c, scim_entra_arg(node, 1), "the style \"%s\" is not translated", style);
	if (source->kind == SCIM_ENTRA_TIME || !scim_entra_given(node, 2))
		sql = scim_entra_as(c, scim_entra_arg(node, 0), source, SCIM_ENTRA_TIME);
	else
	{
		template = date_template(c, scim_entra_arg(node, 2), true, &zone);
		sql = psprintf("NULLIF(%s, '')", scim_entra_as(c, scim_entra_arg(node, 0), source, SCIM_ENTRA_TEXT));
		/* without an offset it would be a time of the session's zone */
		sql = psprintf(zone ? "pg_catalog.timezone('UTC', pg_catalog.to_timestamp(%s, %s))" :
					   "pg_catalog.timezone('UTC', pg_catalog.to_timestamp(%s OPERATOR(pg_catalog.||) ' +00', %s))",
					   sql, quote_literal_cstr(zone ? template : psprintf("%s TZH", template)));
	}
	template = date_template(c, scim_entra_arg(node, 3), false, &zone);
	return scim_entra_value(c, SCIM_ENTRA_TEXT, "pg_catalog.to_char(%s, %s)", sql, quote_literal_cstr(template));
}
