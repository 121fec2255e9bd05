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

#include "_traditional.h"

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
