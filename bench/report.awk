# report.awk - the table, the JSON and the plot of a run of bench/run.sh.
#
# Input, by the first of the columns (separated by tabs):
#   pair    round, name, rate, p50 ms, p99 ms, CPU us, yardstick's rate, its CPU us
#   tls     round, name, rate, p50 ms, p99 ms, CPU us: the same over TLS
#   stored  round, name, rate among 1000 users, rate among all, CPU us, CPU us
#   turn    round, name, p50 us in the small world, p50 us in the large one
#   note    name, value: figures that stand for themselves
# Variables: json, svg (files to write), and what is said about the machine.

function median_of(list, n,    i, j, swap)
{
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && list[j - 1] > list[j]; j--) {
			swap = list[j]; list[j] = list[j - 1]; list[j - 1] = swap
		}
	return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
}

# Everything is kept as a list of numbers, one of each round.
function keep(kind, name, field, x)
{
	value[kind, name, field, ++count[kind, name, field]] = x + 0
}

function median(kind, name, field,    i, n, list)
{
	n = count[kind, name, field]
	for (i = 1; i <= n; i++)
		list[i] = value[kind, name, field, i]
	return median_of(list, n)
}

function extreme(kind, name, field, sign,    i, best)
{
	for (i = 1; i <= count[kind, name, field]; i++)
		if (i == 1 || sign * value[kind, name, field, i] > sign * best)
			best = value[kind, name, field, i]
	return best
}

function range(kind, name, digits)
{
	return sprintf("%." digits "f-%." digits "f", extreme(kind, name, "ratio", -1), extreme(kind, name, "ratio", 1))
}

function rounds_json(kind, name, fields,    i, j, n, field, s)
{
	n = split(fields, field, " ")
	s = "["
	for (i = 1; i <= count[kind, name, "ratio"]; i++) {
		s = s (i > 1 ? ", {" : "{")
		for (j = 1; j <= n; j++)
			s = s (j > 1 ? ", " : "") sprintf("\"%s\": %.4f", field[j], value[kind, name, field[j], i])
		s = s "}"
	}
	return s "]"
}

function rounded(x, digits)
{
	return sprintf("%." digits "f", x)
}

function text(s)
{
	gsub(/["\\]/, "\\\\&", s)
	return "\"" s "\""
}

# How a figure stands to what it should be; "low": less is better.
function verdict(x, least, aim, low)
{
	if (low)
		return x <= aim ? "aim" : x <= least ? "ok" : "BELOW"
	return x >= aim ? "aim" : x >= least ? "ok" : "BELOW"
}

function bar(title, x, least, aim, low)
{
	bars++
	bar_title[bars] = title
	# in parts of what is the least; where less is better, the other way round
	bar_value[bars] = low ? (x > 0 ? least / x : 9) : x / least
	bar_aim[bars] = low ? (aim > 0 ? least / aim : 9) : aim / least
	bar_text[bars] = x
}

function object(members)
{
	printf "%s\n    {%s}", objects++ ? "," : "", members > json
}

function list(name)
{
	printf "%s\n  \"%s\": [", lists++ ? "\n  ]," : "", name > json
	objects = 0
}

# An operation over HTTP, then over TLS.
function row(name, title, against, least, aim,    http, kind, r)
{
	http = name != "handle"
	for (kind = "pair"; ; kind = "tls") {
		r = median(kind, name, "ratio")
		bar(kind == "tls" ? title ", TLS" : title, rounded(r, 2), least, aim, 0)
		printf "%-26s %8.0f %7s %7s %7s   ", kind == "tls" ? "  over TLS" : title, median(kind, name, "rate"),
			http ? rounded(median(kind, name, "p50_ms"), 2) : "", http ? rounded(median(kind, name, "p99_ms"), 2) : "", rounded(median(kind, name, "cpu_us"), 0)
		if (kind == "pair")
			printf "%-40s %8.0f %7s", against, median(kind, name, "tps"), rounded(median(kind, name, "yardstick_cpu_us"), 0)
		else
			printf "%57s", ""
		printf "   %5.2f  %-9s %4.2f %5.2f  %s\n", r, range(kind, name, 2), least, aim, verdict(r, least, aim, 0)
		object(sprintf("\"name\": %s, \"tls\": %s, \"rate\": %.1f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"cpu_us\": %.1f, \"yardstick\": %s, \"tps\": %.1f, \"ratio\": %.4f, \"at_least\": %.2f, \"aim\": %.2f, \"rounds\": %s",
			text(name), kind == "tls" ? "true" : "false", median(kind, name, "rate"), median(kind, name, "p50_ms"), median(kind, name, "p99_ms"), median(kind, name, "cpu_us"),
			text(against), median("pair", name, "tps"), r, least, aim,
			rounds_json(kind, name, kind == "tls" ? "rate p50_ms p99_ms cpu_us ratio" : "rate p50_ms p99_ms cpu_us tps yardstick_cpu_us ratio")))
		if (kind == "tls" || !count["tls", name, "rate"])
			return
	}
}

# The same with few users stored and with many.
function stored(name, title, least, aim,    r)
{
	r = median("stored", name, "ratio")
	printf "%-44s %9.0f %9.0f %7s %7s   %5.2f  %-9s ", title, median("stored", name, "few"), median("stored", name, "many"),
		rounded(median("stored", name, "few_cpu"), 0), rounded(median("stored", name, "many_cpu"), 0), r, range("stored", name, 2)
	if (least) {
		bar(title ", " users " users / 1000", rounded(r, 2), least, aim, 0)
		printf "%4.2f %5.2f  %s\n", least, aim, verdict(r, least, aim, 0)
	} else
		printf "\n"
	object(sprintf("\"name\": %s, \"rate_at_1000\": %.1f, \"rate\": %.1f, \"cpu_us_at_1000\": %.1f, \"cpu_us\": %.1f, \"ratio\": %.4f%s, \"rounds\": %s", text(name),
		median("stored", name, "few"), median("stored", name, "many"), median("stored", name, "few_cpu"), median("stored", name, "many_cpu"), r,
		least ? sprintf(", \"at_least\": %.2f, \"aim\": %.2f", least, aim) : "", rounds_json("stored", name, "few many few_cpu many_cpu ratio")))
}

# The time of a request in a small world and in a large one, in turn.
function turn(name, title, least, aim,    r)
{
	r = median("turn", name, "ratio")
	bar(title, rounded(r, 2), least, aim, 1)
	printf "%-44s %9s %9s %17s %5.2f  %-9s %4.2f %5.2f  %s\n", title, rounded(median("turn", name, "small"), 0), rounded(median("turn", name, "large"), 0), "",
		r, range("turn", name, 2), least, aim, verdict(r, least, aim, 1)
	object(sprintf("\"name\": %s, \"small_us\": %.1f, \"large_us\": %.1f, \"ratio\": %.4f, \"at_most\": %.2f, \"aim\": %.2f, \"rounds\": %s", text(name),
		median("turn", name, "small"), median("turn", name, "large"), r, least, aim, rounds_json("turn", name, "small large ratio")))
}

function figure(name, title, x, digits, unit, least, aim, low)
{
	bar(title, rounded(x, digits), least, aim, low)
	printf "%-62s %9s %-5s %s %5s %5s  %s\n", title, rounded(x, digits), unit, low ? "<=" : ">=", least, aim, verdict(x, least, aim, low)
	object(sprintf("\"name\": %s, \"value\": %.4f, \"unit\": %s, \"%s\": %s, \"aim\": %s", text(name), x, text(unit), low ? "at_most" : "at_least", least, aim))
}

# Each figure as a bar, in parts of what is the least: a line at 1, a mark at the
# aim.
function plot(    i, x, y, width, scale, color)
{
	scale = 130
	width = 420 + 4 * scale
	printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size=\"12\">\n", width + 60, bars * 24 + 60 > svg
	printf "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n<text x=\"10\" y=\"20\">scim %s, %s, %s: in parts of what is the least (line), aim (mark)</text>\n", commit, date, postgres > svg
	for (i = 1; i <= bars; i++) {
		y = i * 24 + 14
		x = bar_value[i] > 4 ? 4 : bar_value[i]
		color = bar_value[i] < 1 ? "#c0392b" : bar_value[i] < bar_aim[i] ? "#2e86c1" : "#1e8449"
		printf "<text x=\"10\" y=\"%d\">%s</text><rect x=\"420\" y=\"%d\" width=\"%.0f\" height=\"16\" fill=\"%s\"/><text x=\"%.0f\" y=\"%d\">%s</text>\n",
			y + 12, bar_title[i], y, x * scale, color, 426 + x * scale, y + 12, bar_text[i] > svg
		if (bar_aim[i] <= 4)
			printf "<rect x=\"%.0f\" y=\"%d\" width=\"2\" height=\"20\" fill=\"black\"/>\n", 420 + bar_aim[i] * scale, y - 2 > svg
	}
	printf "<line x1=\"%d\" y1=\"30\" x2=\"%d\" y2=\"%d\" stroke=\"black\" stroke-dasharray=\"4 3\"/>\n</svg>\n", 420 + scale, 420 + scale, bars * 24 + 44 > svg
}

$1 == "pair" {
	keep("pair", $3, "rate", $4)
	keep("pair", $3, "p50_ms", $5)
	keep("pair", $3, "p99_ms", $6)
	keep("pair", $3, "cpu_us", $7)
	keep("pair", $3, "tps", $8)
	keep("pair", $3, "yardstick_cpu_us", $9)
	keep("pair", $3, "ratio", $4 / $8)
	tps[$2, $3] = $8
}

$1 == "tls" {
	keep("tls", $3, "rate", $4)
	keep("tls", $3, "p50_ms", $5)
	keep("tls", $3, "p99_ms", $6)
	keep("tls", $3, "cpu_us", $7)
	tls_rate[$2, $3] = $4
	names[$3] = 1
	if ($2 > last_round)
		last_round = $2
}

$1 == "stored" {
	keep("stored", $3, "few", $4)
	keep("stored", $3, "many", $5)
	keep("stored", $3, "few_cpu", $6)
	keep("stored", $3, "many_cpu", $7)
	keep("stored", $3, "ratio", $5 / $4)
}

$1 == "turn" {
	keep("turn", $3, "small", $4)
	keep("turn", $3, "large", $5)
	keep("turn", $3, "ratio", $5 / $4)
}

$1 == "note" { keep("note", $2, "", $3) }

function noted(name)
{
	return median("note", name, "")
}

END {
	# beside the yardstick of the same round; that of Bulk is POST, over TLS as well
	for (name in names)
		for (i = 1; i <= last_round; i++)
			keep("tls", name, "ratio", tls_rate[i, name] / (name == "bulk" ? tls_rate[i, "post"] : tps[i, name]))

	printf "{\n  \"date\": %s, \"commit\": %s, \"postgres\": %s, \"machine\": %s, \"cpu\": %s, \"cpus\": %d, \"disk\": %s,\n",
		text(date), text(commit), text(postgres), text(machine), text(model), cpus, text(disk) > json
	printf "  \"users\": %d, \"members\": %d, \"rounds\": %d, \"seconds\": %d, \"listeners\": %d, \"connections\": %d, \"pgbench_clients\": %d, \"post_bytes\": %d, \"get_bytes\": %d, \"commits_alone\": %.0f,",
		users, members, rounds, seconds, listeners, connections, clients, body, answer, flush > json
	printf "scim %s, %s; %s, %d x %s, data on %s\n", commit, date, postgres, cpus, model, disk
	printf "%d users; median of %d rounds of %d s (TLS, and among 1000 users: 1 s)\n", users, rounds, seconds
	printf "HTTP: %d listeners, %d keep-alive connections, bearer token, audit; POST of %d bytes, GET of %d bytes\n", listeners, connections, body, answer
	printf "One session that does nothing but commit: %.0f commits/s (what a flush of the WAL costs here)\n\n", flush
	list("operations")
	printf "%-26s %8s %7s %7s %7s   %-40s %8s %7s   %5s  %-9s %4s %5s\n", "", "per s", "p50 ms", "p99 ms", "CPU us", "yardstick: pgbench, " clients " clients", "per s", "CPU us", "ratio", "range", "min", "aim"
	row("get", "GET by id", "SELECT * by (tenant, id)", 0.25, 0.45)
	row("filter", "filter userName eq", "SELECT * by (tenant, fold(user_name))", 0.25, 0.45)
	row("external", "filter externalId eq", "SELECT * by (tenant, external_id)", 0.25, 0.45)
	row("email", "filter emails.value eq", "SELECT of the e-mail, and its user", 0.25, 0.45)
	row("page", "page of 100 users", "the same page as JSON, 1 statement", 0.8, 1.3)
	row("busy", "page, 20 writes/s beside", "the same, beside the same", 0.8, 1.3)
	row("post", "POST of a full user", "INSERT of the same 13 rows, 1 statement", 0.4, 0.9)
	row("patch", "PATCH of one attribute", "UPDATE of title and audit, 1 statement", 0.6, 1.2)
	row("bulk", "Bulk of 100 creates", "(single creates over HTTP)", 2, 4)
	row("handle", "scim.handle GET, in SQL", "SELECT * by (tenant, id)", 0.3, 0.5)
	list("stored")
	printf "\n%-44s %9s %9s %7s %7s   %5s  %-9s %4s %5s\n", "users stored: 1000, " users, "per s", "per s", "CPU us", "CPU us", "ratio", "range", "min", "aim"
	stored("get", "GET by id", 0.7, 0.9)
	stored("filter", "filter userName eq", 0.7, 0.9)
	stored("external", "filter externalId eq", 0.7, 0.9)
	stored("email", "filter emails.value eq", 0.7, 0.9)
	stored("id", "filter id eq", 0.7, 0.9)
	stored("walk", "pages of 100 by startIndex, in their order", 0.7, 0.9)
	stored("cursor", "pages of 100 by cursor", 0.7, 0.9)
	stored("patch", "PATCH of one attribute", 0.7, 0.9)
	stored("post", "POST of a full user", 0.7, 0.9)
	stored("pgbench", "(pgbench: SELECT * by (tenant, id))")
	list("turns")
	printf "\n%-44s %9s %9s %17s %5s  %-9s %4s %5s\n", "one client, in turn", "us small", "us large", "", "ratio", "range", "max", "aim"
	turn("small/filter", "filter userName, " users " / 1000 users", 1.5, 1.1)
	turn("small/external", "filter externalId, " users " / 1000 users", 1.5, 1.1)
	turn("small/email", "filter e-mail, " users " / 1000 users", 1.5, 1.1)
	turn("small/id", "filter id, " users " / 1000 users", 1.5, 1.1)
	turn("large/ten-add", "PATCH adds a member, " members " / 10", 1.5, 1.1)
	turn("large/ten-remove", "PATCH removes a member, " members " / 10", 1.5, 1.1)
	turn("large/ten-bare", "GET without members, " members " / 10", 1.5, 1.1)
	turn("large/ten-rename", "PATCH of displayName, " members " / 10", 1.5, 1.1)
	list("figures")
	printf "\n%-62s %9s %-5s    %5s %5s\n", "", "", "", "limit", "aim"
	figure("group", "group of 100000 members as JSON", noted("group"), 1, "MB/s", 20, 100, 0)
	figure("memory", "private memory of a listener, after " noted("requests") " requests of all sorts", noted("memory"), 1, "MB", 10, 6, 1)
	printf "%-62s %9s %-5s\n", "  before the first", rounded(noted("memory_before"), 1), "MB"
	figure("wakeups", "wake-ups of an idle listener", noted("wakeups"), 2, "/s", 1, 0.2, 1)
	figure("snapshots", "snapshots held by idle workers", noted("snapshots"), 0, "", 0, 0, 1)
	figure("first", "first scim.handle of a session, nothing preloaded", noted("first"), 1, "ms", 30, 10, 1)
	printf "\n  ]\n}\n" > json
	plot()
}
