/* A program of its own that CPython is embedded in.

   Known: it takes the interpreter's arguments. With EMBEDDED_IN=another the interpreter runs in another thread, while
   the main thread waits for that one and is none of Python's. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

int Py_BytesMain(int argc, char **argv);

struct arguments {
    int count;
    char **values;
};

static void *run(void *given)
{
    struct arguments *arguments = given;
    Py_BytesMain(arguments->count, arguments->values);
    return NULL;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {argc, argv};
    const char *where = getenv("EMBEDDED_IN");
    pthread_t thread;

    if (where == NULL || strcmp(where, "another") != 0) {
        run(&arguments);
        return 0;
    }
    if (pthread_create(&thread, NULL, run, &arguments) != 0)
        return 1;
    return pthread_join(thread, NULL);
}
