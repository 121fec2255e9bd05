/* The traditional headers, for `reading`: Events of the lines that an hour's mail is made of.
 *
 * Owns: that these cost no more than to find them does. In Python one of them takes longer than forty lines that
 * Hyperscan hides.
 * Never: takes a header apart otherwise than `fragments` would; where it is not sure, it leaves the line to `reading`.
 * Reads outside of the block (ValueError instead).
 */

#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

typedef struct {
  const char *at, *end;
} text;

/* --- what a header consists of: see fragments.py ------------------------------------------------------------------ */

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

static int divide_line(text line, parts *found)
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

/* --- as Python has it --------------------------------------------------------------------------------------------- */

static PyObject *string(text of)
{
  return PyUnicode_DecodeUTF8(of.at, of.end - of.at, "backslashreplace");
}

static PyObject *number(text of)
{
  long long value = 0;
  if (of.at == of.end || of.end - of.at > LONGEST_PID)
    Py_RETURN_NONE;
  for (; of.at < of.end; of.at++) {
    if (!is_digit(*of.at))
      Py_RETURN_NONE;
    value = 10 * value + (*of.at - '0');
  }
  return PyLong_FromLongLong(value);
}

static int same(text one_, text other)
{
  return one_.end - one_.at == other.end - other.at && memcmp(one_.at, other.at, one_.end - one_.at) == 0;
}

/* What the last line said, for the next one says it again: whose text that was, and the object made of it. */
typedef struct {
  text of;
  PyObject *made;
} last;

static int is_new(const last *known, text of)
{
  return known->made == NULL || !same(known->of, of);
}

static PyObject *keep(last *known, text of, PyObject *made)
{
  Py_XSETREF(known->made, made);
  known->of = of;
  return made;
}

typedef struct {
  PyTypeObject *event;
  PyObject *minutes, *yearless;
  last stamp, zone, host, program;
} reader;

static PyObject *name(last *known, text of)
{
  return Py_XNewRef(is_new(known, of) ? keep(known, of, string(of)) : known->made);
}

static PyObject *without_year(reader *self, text stamp)
{
  if (is_new(&self->stamp, stamp)) {
    text minute = {stamp.at, stamp.end - 3}, second = {stamp.end - 2, stamp.end};
    PyObject *arguments = Py_BuildValue("(NN)", string(minute), string(second));
    keep(&self->stamp, stamp, arguments ? PyObject_CallObject(self->yearless, arguments) : NULL);
    Py_XDECREF(arguments);
  }
  return Py_XNewRef(self->stamp.made);
}

enum { UP_TO_THE_MINUTE = 16 };

static PyObject *with_year(reader *self, text stamp, text zone)
{
  text minute = {stamp.at, stamp.at + UP_TO_THE_MINUTE};
  if (is_new(&self->stamp, minute) || is_new(&self->zone, zone)) {
    PyObject *arguments = Py_BuildValue("(NN)", string(minute), Py_XNewRef(keep(&self->zone, zone, string(zone))));
    keep(&self->stamp, minute, arguments ? PyObject_CallObject(self->minutes, arguments) : NULL);
    Py_XDECREF(arguments);
  }
  if (self->stamp.made == NULL || self->stamp.made == Py_None)
    return Py_XNewRef(self->stamp.made);
  char second[LONGEST_STAMP] = {0};
  memcpy(second, minute.end + 1, stamp.end - minute.end - 1);
  if (second[2] == ',')
    second[2] = '.';
  double seconds = PyOS_string_to_double(second, NULL, NULL);
  if (seconds >= 61.0) /* 60 is a leap second */
    Py_RETURN_NONE;
  double start = PyFloat_AsDouble(self->stamp.made);
  return start == -1.0 && PyErr_Occurred() ? NULL : PyFloat_FromDouble(start + seconds);
}

enum { TIME, HOST, PROGRAM, PID, MESSAGE, RAW, PROVENANCE, FIELDS };

static PyObject *made(reader *self, text line, const parts *found)
{
  int has_year = found->zone.at < found->zone.end;
  PyObject *fields[FIELDS] = {
    [TIME] = has_year ? with_year(self, found->stamp, found->zone) : without_year(self, found->stamp)};
  /* One after the other, none of them once another could not be made: its error is the one to tell of. */
  int done = fields[TIME] && (fields[HOST] = name(&self->host, found->host)) &&
             (fields[PROGRAM] = name(&self->program, found->program)) && (fields[PID] = number(found->pid)) &&
             (fields[MESSAGE] = string(found->message)) && (fields[RAW] = string(line)) &&
             (fields[PROVENANCE] = Py_NewRef(Py_None));
  PyObject *event = done ? self->event->tp_alloc(self->event, FIELDS) : NULL;
  for (int field = 0; field < FIELDS; field++) {
    if (event == NULL)
      Py_XDECREF(fields[field]);
    else
      PyTuple_SET_ITEM(event, field, fields[field]);
  }
  return event;
}

static int is_record(PyObject *type)
{
  return PyType_Check(type) && PyType_IsSubtype((PyTypeObject *)type, &PyTuple_Type) &&
         ((PyTypeObject *)type)->tp_basicsize == PyTuple_Type.tp_basicsize;
}

static PyObject *divide(PyObject *module, PyObject *args)
{
  Py_buffer block;
  PyObject *ends, *event;
  reader self = {0};
  (void)module;
  if (!PyArg_ParseTuple(args, "y*O!OOO", &block, &PyList_Type, &ends, &event, &self.minutes, &self.yearless))
    return NULL;
  PyObject *events = NULL;
  self.event = (PyTypeObject *)event;
  if (is_record(event))
    events = PyList_New(0);
  else
    PyErr_SetString(PyExc_TypeError, "no kind of tuple");
  for (Py_ssize_t index = 0; events != NULL && index < PyList_GET_SIZE(ends); index++) {
    Py_ssize_t end = PyLong_AsSsize_t(PyList_GET_ITEM(ends, index));
    if (end < 0 || end > block.len) {
      if (!PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "a line that is not in the block");
      Py_CLEAR(events);
      break;
    }
    const char *newline = memrchr(block.buf, '\n', end);
    text line = {newline ? newline + 1 : block.buf, (const char *)block.buf + end};
    parts found;
    PyObject *one_ = line.at < line.end && divide_line(line, &found) ? made(&self, line, &found) : NULL;
    if (one_ == NULL && !PyErr_Occurred())
      one_ = Py_NewRef(Py_None);
    if (one_ == NULL || PyList_Append(events, one_) < 0)
      Py_CLEAR(events);
    Py_XDECREF(one_);
  }
  Py_XDECREF(self.stamp.made);
  Py_XDECREF(self.zone.made);
  Py_XDECREF(self.host.made);
  Py_XDECREF(self.program.made);
  PyBuffer_Release(&block);
  return events;
}

/* --- the module --------------------------------------------------------------------------------------------------- */

static PyMethodDef functions[] = {
  {"divide", divide, METH_VARARGS,
   "divide(block, ends, Event, minutes, yearless): the Event of each line that ends there; None where its header is "
   "another. minutes(minute, zone) says when a minute began, yearless(minute, second) when a stamp without a year was."},
  {NULL, NULL, 0, NULL},
};

static int execute(PyObject *module)
{
  (void)module;
  fill_kinds();
  return 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, execute}, {0, NULL}};

static PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "_traditional", .m_methods = functions, .m_slots = slots};

PyMODINIT_FUNC PyInit__traditional(void)
{
  return PyModuleDef_Init(&definition);
}
