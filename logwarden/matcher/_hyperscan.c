/* Hyperscan's runtime for `hyperscan_engine`: a block scanned into an array of matches, and what is asked of such an
 * array.
 *
 * Owns: that no Python runs for a match. A log of a million lines has a million matches; each would cost a call.
 * Matches are bytes: for each, in the machine's byte order, the pattern's id and the offset at which it ends, four
 * bytes each.
 * Never: decides what a match means; reads or writes outside of what it is given (ValueError instead).
 */

#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <hs/hs_runtime.h>
#include <stdint.h>
#include <string.h>

#include "../header/_traditional.h"

typedef struct {
  uint32_t id, end;
} match;

/* --- a scan ------------------------------------------------------------------------------------------------------ */

/* `items` of `size` bytes each, with room for one more than `count`; NULL where there is no memory, and they stay. */
static void *with_room(void *items, size_t count, size_t *room, size_t size)
{
  if (count < *room)
    return items;
  size_t more = *room ? 2 * *room : 1024;
  void *larger = realloc(items, more * size);
  if (larger != NULL)
    *room = more;
  return larger;
}

typedef struct {
  match *items;
  size_t count, room;
} growing;

static int note(unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *context)
{
  growing *found = context;
  (void)from, (void)flags;
  match *items = with_room(found->items, found->count, &found->room, sizeof *items);
  if (items == NULL)
    return 1;
  found->items = items;
  found->items[found->count++] = (match){id, (uint32_t)to};
  return 0;
}

/* Lines of a block that are let through, and what is copied of them: all of them, one behind the other. */
typedef struct {
  uint32_t start, end; /* in the block; its newline is at `end` */
  uint32_t copied;     /* where its newline is in the copy */
} line;

typedef struct {
  const char *block;
  size_t length;
  line *items;
  size_t count, room;
  int unordered;
  char *copy;
} lines;

/* Note the line in which a text ends, unless it is the one that was noted last. Hyperscan promises no order. */
static int let_through(unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *context)
{
  lines *let = context;
  const line *last = let->count ? &let->items[let->count - 1] : NULL;
  (void)id, (void)from, (void)flags;
  if (last != NULL && to > last->start && to <= last->end)
    return 0;
  const char *before = memrchr(let->block, '\n', to);
  const char *end = memchr(let->block + to, '\n', let->length - to);
  if (end == NULL)
    return 0; /* no whole line */
  if (last != NULL && to <= last->start)
    let->unordered = 1;
  line *items = with_room(let->items, let->count, &let->room, sizeof *items);
  if (items == NULL)
    return 1;
  let->items = items;
  uint32_t start = before ? (uint32_t)(before + 1 - let->block) : 0;
  let->items[let->count++] = (line){start, (uint32_t)(end - let->block), 0};
  return 0;
}

static int by_start(const void *one, const void *other)
{
  uint32_t a = ((const line *)one)->start, b = ((const line *)other)->start;
  return (a > b) - (a < b);
}

/* Copy the lines, each once, and return how many bytes that are; 0 where there is no memory for them. */
static size_t copied(lines *let)
{
  size_t size = 0, kept = 0;
  if (let->unordered)
    qsort(let->items, let->count, sizeof *let->items, by_start);
  for (size_t index = 0; index < let->count; index++)
    if (!kept || let->items[index].start != let->items[kept - 1].start) {
      line *each = &let->items[kept++];
      *each = let->items[index];
      size += each->end + 1 - each->start;
      each->copied = (uint32_t)(size - 1);
    }
  let->count = kept;
  if ((let->copy = malloc(size)) == NULL)
    return 0;
  for (size_t index = 0; index < kept; index++) {
    const line *each = &let->items[index];
    size_t length = each->end + 1 - each->start;
    memcpy(let->copy + each->copied + 1 - length, let->block + each->start, length);
  }
  return size;
}

/* Say of matches in the copy, which end where its lines do, where they end in the block. */
static void put_back(growing *found, const lines *let)
{
  size_t kept = 0;
  for (size_t index = 0; index < found->count; index++) {
    match each = found->items[index];
    size_t low = 0, high = let->count;
    while (low < high) {
      size_t middle = low + (high - low) / 2;
      if (let->items[middle].copied < each.end)
        low = middle + 1;
      else
        high = middle;
    }
    if (low < let->count && let->items[low].copied == each.end)
      found->items[kept++] = (match){each.id, let->items[low].end};
  }
  found->count = kept;
}

typedef struct {
  PyObject_HEAD
  hs_database_t *database, *gate;
  hs_scratch_t *scratch;
} Database;

static hs_error_t scan(const Database *self, const char *block, size_t length, match_event_handler heard, growing *found)
{
  if (self->gate == NULL)
    return hs_scan(self->database, block, length, 0, self->scratch, heard, found);
  lines let = {.block = block, .length = length};
  hs_error_t error = hs_scan(self->gate, block, length, 0, self->scratch, let_through, &let);
  if (error == HS_SUCCESS && let.count) {
    size_t size = copied(&let);
    error = size ? hs_scan(self->database, let.copy, size, 0, self->scratch, heard, found) : HS_NOMEM;
    put_back(found, &let);
  }
  free(let.copy);
  free(let.items);
  return error;
}

static const char *reason(hs_error_t error)
{
  switch (error) {
  case HS_DB_VERSION_ERROR: return "made by another version of Hyperscan";
  case HS_DB_PLATFORM_ERROR: return "made for another processor";
  case HS_DB_MODE_ERROR: return "made for another mode";
  case HS_ARCH_ERROR: return "this processor cannot run Hyperscan";
  case HS_SCRATCH_IN_USE: return "in use by another thread";
  default: return "no database";
  }
}

static PyObject *refused(hs_error_t error)
{
  if (error == HS_NOMEM || error == HS_SCAN_TERMINATED)
    return PyErr_NoMemory();
  return PyErr_Format(PyExc_ValueError, "%s (%d)", reason(error), error);
}

static void Database_dealloc(PyObject *object)
{
  Database *self = (Database *)object;
  PyTypeObject *type = Py_TYPE(object);
  hs_free_scratch(self->scratch);
  hs_free_database(self->gate);
  hs_free_database(self->database);
  type->tp_free(object);
  Py_DECREF(type);
}

/* A database, and scratch that is enough for it, and for what it was made for before. */
static hs_error_t made(const Py_buffer *serialised, hs_database_t **database, hs_scratch_t **scratch)
{
  hs_error_t error = hs_deserialize_database(serialised->buf, serialised->len, database);
  return error == HS_SUCCESS ? hs_alloc_scratch(*database, scratch) : error;
}

static PyObject *Database_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
  static char *names[] = {"serialised", "gate", NULL};
  Py_buffer text, gate = {0};
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "y*|y*", names, &text, &gate))
    return NULL;
  Database *self = (Database *)type->tp_alloc(type, 0);
  if (self != NULL) {
    hs_error_t error = made(&text, &self->database, &self->scratch);
    if (error == HS_SUCCESS && gate.len)
      error = made(&gate, &self->gate, &self->scratch);
    if (error != HS_SUCCESS) {
      refused(error);
      Py_CLEAR(self);
    }
  }
  PyBuffer_Release(&text);
  if (gate.obj != NULL)
    PyBuffer_Release(&gate);
  return (PyObject *)self;
}

static PyObject *Database_scan(PyObject *object, PyObject *args)
{
  Database *self = (Database *)object;
  Py_buffer block;
  int listened = 1;
  if (!PyArg_ParseTuple(args, "y*|p", &block, &listened))
    return NULL;
  PyObject *result = NULL;
  if (block.len > INT32_MAX) {
    PyErr_SetString(PyExc_ValueError, "a block that is too long");
  } else {
    growing found = {0};
    hs_error_t error;
    Py_BEGIN_ALLOW_THREADS
    error = scan(self, block.buf, block.len, listened ? note : NULL, &found);
    Py_END_ALLOW_THREADS
    if (error == HS_SUCCESS)
      result = PyBytes_FromStringAndSize((char *)found.items, found.count * sizeof(match));
    else
      refused(error);
    free(found.items);
  }
  PyBuffer_Release(&block);
  return result;
}

/* --- what is asked of matches ------------------------------------------------------------------------------------ */

/* Whether what is given can be matches of so many patterns; ValueError otherwise. */
static int are_matches(const Py_buffer *matches, Py_ssize_t patterns)
{
  const match *each = matches->buf, *last = each + matches->len / sizeof(match);
  if (matches->len % sizeof(match) == 0) {
    while (each < last && each->id < patterns)
      each++;
    if (each == last)
      return 1;
  }
  PyErr_SetString(PyExc_ValueError, "no matches of these patterns");
  return 0;
}

/* Whether the line of a block that ends there has a traditional header. */
static int is_traditional(const Py_buffer *block, uint32_t end)
{
  const char *start = block->buf, *newline = end <= block->len ? memrchr(start, '\n', end) : NULL;
  text line = {newline ? newline + 1 : start, start + end};
  parts found;
  return end <= block->len && line.at < line.end && divide_line(line, &found);
}

static PyObject *mark(PyObject *module, PyObject *args)
{
  Py_buffer matches, which, marks, block = {0};
  unsigned char with;
  (void)module;
  if (!PyArg_ParseTuple(args, "y*y*bw*|y*", &matches, &which, &with, &marks, &block))
    return NULL;
  int sound = are_matches(&matches, which.len);
  if (sound) {
    const match *each = matches.buf, *last = each + matches.len / sizeof(match);
    const char *chosen = which.buf;
    for (unsigned char *marked = marks.buf; each < last; each++)
      if (chosen[each->id] && each->end < marks.len && marked[each->end] != with &&
          (block.obj == NULL || is_traditional(&block, each->end)))
        marked[each->end] = with;
  }
  if (block.obj != NULL)
    PyBuffer_Release(&block);
  PyBuffer_Release(&matches);
  PyBuffer_Release(&which);
  PyBuffer_Release(&marks);
  if (!sound)
    return NULL;
  Py_RETURN_NONE;
}

/* Add to what a dict has under a name; -1: an exception is set. */
static int add(PyObject *counts, PyObject *name, unsigned long more)
{
  PyObject *before = PyDict_GetItemWithError(counts, name);
  if (before == NULL && PyErr_Occurred())
    return -1;
  PyObject *number = PyLong_FromUnsignedLong(more);
  PyObject *sum = number != NULL && before != NULL ? PyNumber_Add(before, number) : Py_XNewRef(number);
  int failed = sum == NULL || PyDict_SetItem(counts, name, sum) < 0;
  Py_XDECREF(number);
  Py_XDECREF(sum);
  return failed ? -1 : 0;
}

static PyObject *count(PyObject *module, PyObject *args)
{
  Py_buffer matches, marks;
  PyObject *names, *result = NULL;
  unsigned char with;
  (void)module;
  if (!PyArg_ParseTuple(args, "y*y*bO!", &matches, &marks, &with, &PyList_Type, &names))
    return NULL;
  Py_ssize_t patterns = PyList_GET_SIZE(names);
  uint32_t *counts = PyMem_Calloc(patterns + 1, sizeof *counts);
  if (counts == NULL) {
    PyErr_NoMemory();
  } else if (are_matches(&matches, patterns)) {
    const match *each = matches.buf, *last = each + matches.len / sizeof(match);
    const unsigned char *marked = marks.buf;
    for (; each < last; each++)
      if (each->end < marks.len && marked[each->end] == with)
        counts[each->id]++;
    result = PyDict_New();
    for (Py_ssize_t id = 0; result != NULL && id < patterns; id++)
      if (counts[id] && add(result, PyList_GET_ITEM(names, id), counts[id]) < 0)
        Py_CLEAR(result);
  }
  PyMem_Free(counts);
  PyBuffer_Release(&matches);
  PyBuffer_Release(&marks);
  return result;
}

static PyObject *select_(PyObject *module, PyObject *args)
{
  Py_buffer matches, marks;
  unsigned char with;
  (void)module;
  if (!PyArg_ParseTuple(args, "y*y*b", &matches, &marks, &with))
    return NULL;
  PyObject *result = are_matches(&matches, PY_SSIZE_T_MAX) ? PyList_New(0) : NULL;
  const match *each = matches.buf, *last = each + matches.len / sizeof(match);
  const unsigned char *marked = marks.buf;
  for (; result != NULL && each < last; each++) {
    if (each->end >= marks.len || marked[each->end] != with)
      continue;
    PyObject *pair = Py_BuildValue("II", each->end, each->id);
    if (pair == NULL || PyList_Append(result, pair) < 0)
      Py_CLEAR(result);
    Py_XDECREF(pair);
  }
  PyBuffer_Release(&matches);
  PyBuffer_Release(&marks);
  return result;
}

/* --- the module -------------------------------------------------------------------------------------------------- */

static PyMethodDef database_methods[] = {
  {"scan", Database_scan, METH_VARARGS, "scan(block[, listened]): its matches; none where nobody listens."},
  {NULL, NULL, 0, NULL},
};

static PyType_Slot database_slots[] = {
  {Py_tp_doc, "Database(serialised[, gate]): a compiled database. With a gate, another one, it is shown the whole lines alone in "
   "which the gate finds something. ValueError where this machine does not take them."},
  {Py_tp_new, Database_new},
  {Py_tp_dealloc, Database_dealloc},
  {Py_tp_methods, database_methods},
  {0, NULL},
};

static PyType_Spec database_spec = {
  "logwarden.matcher._hyperscan.Database", sizeof(Database), 0, Py_TPFLAGS_DEFAULT, database_slots,
};

static PyMethodDef functions[] = {
  {"mark", mark, METH_VARARGS,
   "mark(matches, which, byte, marks[, block]): write `byte` where those end for whose id `which` is not 0; of a block, "
   "only where the line has a traditional header."},
  {"count", count, METH_VARARGS,
   "count(matches, marks, byte, names): by the name of their id, the number of those that end where `marks` has `byte`."},
  {"select", select_, METH_VARARGS, "select(matches, marks, byte): (end, id) of each that ends where `marks` has `byte`."},
  {NULL, NULL, 0, NULL},
};

static int execute(PyObject *module)
{
  fill_kinds();
  PyObject *type = PyType_FromSpec(&database_spec);
  if (type == NULL || PyModule_AddObject(module, "Database", type) < 0) {
    Py_XDECREF(type);
    return -1;
  }
  return PyModule_AddStringConstant(module, "VERSION", hs_version());
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, execute}, {0, NULL}};

static PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "_hyperscan", .m_methods = functions, .m_slots = slots};

PyMODINIT_FUNC PyInit__hyperscan(void)
{
  return PyModuleDef_Init(&definition);
}
