/* What a traditional header consists of: see fragments.py.
 *
 * Owns: that both who make events of such lines and who only ask whether a line is one mean the same.
 * Never: reads outside of the line it is given; takes for a header what `fragments` would not, though it may take less.
 */

#ifndef LOGWARDEN_TRADITIONAL_H
#define LOGWARDEN_TRADITIONAL_H

#include <string.h>

typedef struct {
  const char *at, *end;
} text;

enum { IN_HOST = 1, IN_PROGRAM = 2, IN_PID = 4 };
enum { LONGEST_STAMP = 48, LONGEST_PID = 18 };

static unsigned char kinds[256];

static void fill_kinds(void)
{
  for (int byte = 0; byte < 256; byte++) {
    int printed = byte > ' ' && byte != 0x7f;
    int letter = (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z');
    if (letter || (byte && strchr("._:%@/()-", byte)))
      kinds[byte] |= IN_HOST;
    if (printed && !strchr(":*[]", byte))
      kinds[byte] |= IN_PROGRAM;
    if (printed && !strchr("[]", byte))
      kinds[byte] |= IN_PID;
  }
}

static int is_digit(char byte)
{
  return byte >= '0' && byte <= '9';
}

/* Each of these goes past what it names and says whether that was there. */

static int one(text *rest, const char *choice)
{
  if (rest->at == rest->end || *rest->at == 0 || !strchr(choice, *rest->at))
    return 0;
  rest->at++;
  return 1;
}

static int digits(text *rest, int count)
{
  if (rest->end - rest->at < count)
    return 0;
  while (count > 0 && is_digit(*rest->at))
    rest->at++, count--;
  return count == 0;
}

static int clock_(text *rest)
{
  return digits(rest, 2) && one(rest, ":") && digits(rest, 2) && one(rest, ":") && digits(rest, 2);
}

static int rfc_3164(text *rest)
{
  const char *at = rest->at;
  if (rest->end - at < 15 || at[0] < 'A' || at[0] > 'Z' || at[1] < 'a' || at[1] > 'z' || at[2] < 'a' || at[2] > 'z')
    return 0;
  rest->at += 3;
  if (!one(rest, " "))
    return 0;
  if (is_digit(rest->at[1]))
    one(rest, " 0123");
  return digits(rest, 1) && one(rest, " ") && clock_(rest);
}

static int rfc_3339_without_zone(text *rest)
{
  int day = digits(rest, 4) && one(rest, "-") && digits(rest, 2) && one(rest, "-") && digits(rest, 2);
  if (!day || !one(rest, "T") || !clock_(rest))
    return 0;
  if (one(rest, ".,")) {
    if (!digits(rest, 1))
      return 0;
    while (digits(rest, 1))
      ;
  }
  return 1;
}

static int zone(text *rest)
{
  if (one(rest, "Z"))
    return 1;
  if (!one(rest, "+-") || !digits(rest, 2))
    return 0;
  one(rest, ":");
  return digits(rest, 2);
}

static text run(text *rest, int kind)
{
  text found = {rest->at, rest->at};
  while (rest->at < rest->end && (kinds[(unsigned char)*rest->at] & kind))
    rest->at++;
  found.end = rest->at;
  return found;
}

typedef struct {
  text stamp, zone, host, program, pid, message; /* no zone: a stamp without a year */
} parts;

static int stamped(text *rest, parts *found)
{
  const char *start = rest->at;
  int with_year = is_digit(*start);
  if (!(with_year ? rfc_3339_without_zone(rest) : rfc_3164(rest)))
    return 0;
  found->stamp = (text){start, rest->at};
  int complete = !with_year || zone(rest);
  found->zone = (text){found->stamp.end, rest->at};
  return complete && rest->at - start < LONGEST_STAMP;
}

static inline int divide_line(text line, parts *found)
{
  text rest = line;
  if (!stamped(&rest, found))
    return 0;
  if (!one(&rest, " "))
    return 0;
  found->host = run(&rest, IN_HOST);
  if (found->host.at == found->host.end || found->host.end[-1] == ':' || !one(&rest, " "))
    return 0;
  found->program = run(&rest, IN_PROGRAM);
  if (found->program.at == found->program.end)
    return 0;
  found->pid = (text){rest.at, rest.at};
  if (one(&rest, "[")) {
    found->pid = run(&rest, IN_PID);
    if (!one(&rest, "]"))
      return 0;
  }
  if (!one(&rest, ":") || !one(&rest, " "))
    return 0;
  found->message = rest;
  return 1;
}

#endif
