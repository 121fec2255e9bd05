/* Hyperscan's compiler for `expressions`, which runs in a child process: the daemon never loads it.
 *
 * A library of its own: the compiler is twice as large as the runtime.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <hs/hs.h>

/* Compile, and serialise. Runs without the interpreter's lock: minutes may pass. */
static hs_error_t serialised(
  const char *const *texts, const unsigned *flags, const unsigned *ids, unsigned count, char **bytes, size_t *length,
  hs_compile_error_t **why)
{
  hs_database_t *database = NULL;
  hs_error_t error = hs_compile_multi(texts, flags, ids, count, HS_MODE_BLOCK, NULL, &database, why);
  if (error == HS_SUCCESS)
    error = hs_serialize_database(database, bytes, length);
  hs_free_database(database);
  return error;
}

static PyObject *compiled(PyObject *module, PyObject *args)
{
  PyObject *expressions, *result = NULL;
  (void)module;
  if (!PyArg_ParseTuple(args, "O", &expressions))
    return NULL;
  PyObject *list = PySequence_Fast(expressions, "a sequence of bytes is needed");
  if (list == NULL)
    return NULL;
  Py_ssize_t count = PySequence_Fast_GET_SIZE(list);
  const char **texts = PyMem_Calloc(count + 1, sizeof *texts);
  unsigned *flags = PyMem_Calloc(count + 1, sizeof *flags), *ids = PyMem_Calloc(count + 1, sizeof *ids);
  if (texts == NULL || flags == NULL || ids == NULL)
    PyErr_NoMemory();
  for (Py_ssize_t index = 0; !PyErr_Occurred() && index < count; index++) {
    char *text;
    Py_ssize_t length;
    if (PyBytes_AsStringAndSize(PySequence_Fast_GET_ITEM(list, index), &text, &length) < 0)
      break;
    if (strlen(text) != (size_t)length) {
      PyErr_SetString(PyExc_ValueError, "an expression with a NUL byte");
      break;
    }
    texts[index] = text;
    flags[index] = HS_FLAG_MULTILINE | HS_FLAG_ALLOWEMPTY;
    ids[index] = (unsigned)index;
  }
  if (!PyErr_Occurred()) {
    char *bytes = NULL;
    size_t length = 0;
    hs_compile_error_t *why = NULL;
    hs_error_t error;
    Py_BEGIN_ALLOW_THREADS
    error = serialised(texts, flags, ids, (unsigned)count, &bytes, &length, &why);
    Py_END_ALLOW_THREADS
    if (error == HS_SUCCESS)
      result = PyBytes_FromStringAndSize(bytes, (Py_ssize_t)length);
    else if (error == HS_NOMEM)
      PyErr_NoMemory();
    else
      PyErr_SetString(PyExc_ValueError, why != NULL ? why->message : "Hyperscan cannot compile on this machine");
    hs_free_compile_error(why);
    free(bytes);
  }
  PyMem_Free(texts);
  PyMem_Free(flags);
  PyMem_Free(ids);
  Py_DECREF(list);
  return result;
}

static PyMethodDef functions[] = {
  {"compiled", compiled, METH_VARARGS,
   "compiled(expressions): a database for blocks, serialised, whose ids number the expressions. ValueError where Hyperscan "
   "refuses one of them."},
  {NULL, NULL, 0, NULL},
};

static PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "_hyperscan_compiler", .m_methods = functions};

PyMODINIT_FUNC PyInit__hyperscan_compiler(void)
{
  return PyModuleDef_Init(&definition);
}
