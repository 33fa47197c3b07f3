/* A program that computes cases of `opfuzz cases export` with nothing but the C library; docs/cases.md describes the files.
 *
 *     cc -std=c11 -O2 -o cases_client examples/cases_client.c -lm
 *     opfuzz cases export cases --op softmax,silu,gelu,layer_norm,matmul,erf --format float32
 *     mkdir cases/outputs/c && ./cases_client cases c
 *     opfuzz cases judge cases --as c
 *
 * It reads index.txt, computes in double and rounds once, and writes a file for each output: what is written stays
 * written if a later case crashes. It sees all inputs as contiguous; a library with views would lay each out in memory
 * as the lines "memory" say.
 */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE = 1 << 16, WORD = 128, RANK = 8, INPUTS = 8, SETTINGS = 16 };

typedef struct {
    char name[WORD], dtype[WORD], file[WORD];
    uint64_t offset, bytes;
    size_t rank, shape[RANK], count;
    float *values;
} Tensor;

typedef struct {
    char name[WORD];
    double value;
} Setting; /* a dim, or a param that is a number */

typedef struct {
    char id[WORD], op[WORD];
    size_t inputs, settings;
    Tensor input[INPUTS], output;
    Setting setting[SETTINGS];
} Case;

static void fail(const char *what, const char *name)
{
    fprintf(stderr, "cases_client: %s: %s\n", what, name);
    exit(2);
}

/* The words of a line. */

static char *next_word(char **cursor)
{
    char *word = *cursor + strspn(*cursor, " ");
    size_t length = strcspn(word, " ");
    if (length == 0)
        fail("index.txt", "a line ends too early");
    *cursor = word + length;
    if (**cursor != '\0')
        *(*cursor)++ = '\0';
    return word;
}

static void copy_word(char *to, char **cursor)
{
    const char *word = next_word(cursor);
    size_t length = strlen(word);
    if (length >= WORD)
        fail("a word of index.txt is too long", word);
    memcpy(to, word, length + 1);
}

static uint64_t next_number(char **cursor)
{
    const char *word = next_word(cursor);
    char *end;
    errno = 0;
    unsigned long long value = strtoull(word, &end, 10);
    if (*word < '0' || *word > '9' || *end != '\0' || errno == ERANGE || value > UINT64_MAX)
        fail("no whole number in index.txt", word);
    return (uint64_t)value;
}

static size_t product(size_t a, size_t b)
{
    if (a != 0 && b > SIZE_MAX / a)
        fail("index.txt", "an array is too large");
    return a * b;
}

static void read_shape(Tensor *tensor, char **cursor)
{
    uint64_t rank = next_number(cursor);
    if (rank > RANK)
        fail("too many axes", tensor->name);
    tensor->rank = (size_t)rank;
    tensor->count = 1;
    for (size_t axis = 0; axis < tensor->rank; axis++) {
        uint64_t size = next_number(cursor);
        if (size > SIZE_MAX)
            fail("too large", tensor->name);
        tensor->shape[axis] = (size_t)size;
        tensor->count = product(tensor->count, tensor->shape[axis]);
    }
}

static void read_setting(Case *this, char **cursor, int has_kind)
{
    if (this->settings == SETTINGS)
        fail("too many dims and params", this->id);
    Setting *setting = &this->setting[this->settings];
    copy_word(setting->name, cursor);
    const char *kind = has_kind ? next_word(cursor) : "int";
    if (strcmp(kind, "int") == 0 || strcmp(kind, "float") == 0) {
        setting->value = strtod(next_word(cursor), NULL);
        this->settings++;
    } /* no op below has params of another kind */
}

/* The next case of index.txt; 0 at its end. */
static int read_case(FILE *index, Case *this)
{
    static char line[LINE];
    memset(this, 0, sizeof *this);
    while (fgets(line, sizeof line, index) != NULL) {
        size_t length = strlen(line);
        if (length == 0 || line[length - 1] != '\n')
            fail("index.txt", "a line is too long, or cut");
        line[length - 1] = '\0';
        char *cursor = line;
        const char *what = next_word(&cursor);
        if (strcmp(what, "end") == 0)
            return 1;
        if (strcmp(what, "case") == 0) {
            copy_word(this->id, &cursor);
            if (strlen(this->id) != 16 || strspn(this->id, "0123456789abcdef") != 16)
                fail("no id of a case", this->id); /* it becomes the name of a file */
            copy_word(this->op, &cursor);
        } else if (strcmp(what, "dim") == 0) {
            read_setting(this, &cursor, 0);
        } else if (strcmp(what, "param") == 0) {
            read_setting(this, &cursor, 1);
        } else if (strcmp(what, "input") == 0) {
            if (this->inputs == INPUTS)
                fail("too many inputs", this->id);
            Tensor *input = &this->input[this->inputs++];
            copy_word(input->name, &cursor);
            next_word(&cursor); /* its kind: float, index, mask, additive_mask */
            copy_word(input->dtype, &cursor);
            copy_word(input->file, &cursor);
            input->offset = next_number(&cursor);
            input->bytes = next_number(&cursor);
            read_shape(input, &cursor);
        } else if (strcmp(what, "output") == 0) {
            strcpy(this->output.name, "output");
            copy_word(this->output.dtype, &cursor);
            read_shape(&this->output, &cursor);
        } else if (strcmp(what, "named-output") == 0) {
            next_word(&cursor); /* its name: no op below returns several arrays */
            copy_word(this->output.dtype, &cursor);
        } else if (strcmp(what, "memory") != 0) {
            fail("unknown line in index.txt", what);
        }
    }
    if (ferror(index) || this->id[0] != '\0')
        fail("index.txt", "cut short");
    return 0;
}

/* Files. */

static FILE *open_file(const char *folder, const char *name, const char *mode)
{
    char path[4096];
    int length = snprintf(path, sizeof path, "%s/%s", folder, name);
    if (length < 0 || (size_t)length >= sizeof path)
        fail("the path is too long", name);
    FILE *file = fopen(path, mode);
    if (file == NULL)
        fail(*mode == 'r' ? "cannot be read" : "cannot be written; make its folder first", path);
    return file;
}

static void *allocate(size_t count, size_t size)
{
    void *memory = malloc(count == 0 ? 1 : product(count, size));
    if (memory == NULL)
        fail("no memory", "for an array");
    return memory;
}

static uint64_t little_endian(const unsigned char bytes[8])
{
    uint64_t value = 0;
    for (int at = 7; at >= 0; at--)
        value = value << 8 | bytes[at];
    return value;
}

/* The values of an input, which lie at its offset behind the header of its file. */
static void load(const char *folder, Tensor *input)
{
    unsigned char first[8];
    if (strncmp(input->file, "inputs/", 7) != 0 || strchr(input->file + 7, '/') != NULL)
        fail("no file of inputs", input->file);
    if (input->bytes != product(input->count, sizeof(float)) || input->offset > LONG_MAX)
        fail("its bytes are not those of its shape", input->name);
    FILE *file = open_file(folder, input->file, "rb");
    if (fread(first, 1, 8, file) != 8 || little_endian(first) > UINT64_MAX - 8 || input->offset < 8 + little_endian(first))
        fail("the header reaches into an input", input->file);
    input->values = allocate(input->count, sizeof(float));
    if (fseek(file, (long)input->offset, SEEK_SET) != 0 ||
        fread(input->values, sizeof(float), input->count, file) != input->count)
        fail("cut short", input->file);
    fclose(file);
}

/* One output as a safetensors file: the length of the header in 8 bytes, the header, the values. */
static void save(const char *folder, const Case *this)
{
    char name[WORD + 16], shape[RANK * 24] = "", header[1024];
    const Tensor *output = &this->output;
    size_t bytes = product(output->count, sizeof(float));
    for (size_t axis = 0, end = 0; axis < output->rank; axis++)
        end += (size_t)snprintf(shape + end, sizeof shape - end, "%s%zu", axis ? "," : "", output->shape[axis]);
    int length = snprintf(header, sizeof header, "{\"%s\":{\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[0,%zu]}}",
                          this->id, shape, bytes);
    if (length < 0 || (size_t)length >= sizeof header)
        fail("the header is too long", this->id);
    snprintf(name, sizeof name, "%s.safetensors", this->id);
    FILE *file = open_file(folder, name, "wb");
    unsigned char first[8];
    for (int at = 0; at < 8; at++)
        first[at] = (unsigned char)((uint64_t)length >> (8 * at));
    fwrite(first, 1, 8, file);
    fwrite(header, 1, (size_t)length, file);
    fwrite(output->values, sizeof(float), output->count, file);
    if (ferror(file) || fclose(file) != 0)
        fail("cannot be written", name);
}

/* The ops. Each fills the output from the inputs, in the order of the spec. */

static double setting(const Case *this, const char *name)
{
    for (size_t at = 0; at < this->settings; at++)
        if (strcmp(this->setting[at].name, name) == 0)
            return this->setting[at].value;
    fail("no such dim or param", name);
    return 0;
}

static void silu(const Case *this)
{
    for (size_t at = 0; at < this->output.count; at++) {
        double x = this->input[0].values[at];
        /* At -infinity the limit, where the formula gives NaN. */
        this->output.values[at] = x == -INFINITY ? -0.0f : (float)(x / (1 + exp(-x)));
    }
}

static void gelu(const Case *this)
{
    for (size_t at = 0; at < this->output.count; at++) {
        double x = this->input[0].values[at];
        this->output.values[at] = x == -INFINITY ? -0.0f : (float)(0.5 * x * erfc(-x * sqrt(0.5)));
    }
}

static void softmax(const Case *this)
{
    size_t rows = (size_t)setting(this, "batch"), n = (size_t)setting(this, "n");
    for (size_t row = 0; row < rows; row++) {
        const float *x = this->input[0].values + row * n;
        double largest = -INFINITY, sum = 0;
        for (size_t i = 0; i < n; i++)
            largest = x[i] > largest ? x[i] : largest;
        for (size_t i = 0; i < n; i++)
            sum += exp(x[i] - largest);
        for (size_t i = 0; i < n; i++)
            this->output.values[row * n + i] = (float)(exp(x[i] - largest) / sum);
    }
}

static void layer_norm(const Case *this)
{
    size_t rows = (size_t)setting(this, "batch"), d = (size_t)setting(this, "d");
    const float *weight = this->input[1].values, *bias = this->input[2].values;
    for (size_t row = 0; row < rows; row++) {
        const float *x = this->input[0].values + row * d;
        double mean = 0, variance = 0;
        for (size_t i = 0; i < d; i++)
            mean += x[i] / (double)d;
        for (size_t i = 0; i < d; i++)
            variance += (x[i] - mean) * (x[i] - mean) / (double)d;
        double scale = sqrt(variance + setting(this, "eps"));
        for (size_t i = 0; i < d; i++)
            this->output.values[row * d + i] = (float)((x[i] - mean) / scale * weight[i] + bias[i]);
    }
}

static void matmul(const Case *this)
{
    size_t batch = (size_t)setting(this, "batch"), m = (size_t)setting(this, "m");
    size_t k = (size_t)setting(this, "k"), n = (size_t)setting(this, "n");
    const float *a = this->input[0].values, *b = this->input[1].values;
    for (size_t at = 0; at < product(batch, m); at++)
        for (size_t j = 0; j < n; j++) {
            double sum = 0;
            for (size_t i = 0; i < k; i++)
                sum += (double)a[at * k + i] * b[(at / m * k + i) * n + j];
            this->output.values[at * n + j] = (float)sum;
        }
}

static const struct {
    const char *name;
    void (*compute)(const Case *);
} OPS[] = {{"silu", silu}, {"gelu", gelu}, {"softmax", softmax}, {"layer_norm", layer_norm}, {"matmul", matmul}};

/* Writes an output, or the word that there is none. */
static void answer(const char *folder, const char *outputs, FILE *status, Case *this)
{
    size_t op = 0;
    while (op < sizeof OPS / sizeof *OPS && strcmp(OPS[op].name, this->op) != 0)
        op++;
    if (op == sizeof OPS / sizeof *OPS || strcmp(this->output.dtype, "F32") != 0) {
        fprintf(status, "%s unsupported this program has no %s of %s\n", this->id, this->op, this->output.dtype);
        return;
    }
    for (size_t at = 0; at < this->inputs; at++)
        load(folder, &this->input[at]);
    this->output.values = allocate(this->output.count, sizeof(float));
    OPS[op].compute(this);
    save(outputs, this);
    for (size_t at = 0; at < this->inputs; at++)
        free(this->input[at].values);
    free(this->output.values);
}

int main(int count, char **words)
{
    static Case this;
    char outputs[4096], line[64];
    const uint16_t one = 1;
    if (count != 3)
        fail("usage", "cases_client DIR NAME, after mkdir DIR/outputs/NAME");
    if (*(const unsigned char *)&one != 1)
        fail("this machine", "is not little-endian, as safetensors files are");
    int length = snprintf(outputs, sizeof outputs, "%s/outputs/%s", words[1], words[2]);
    if (length < 0 || (size_t)length >= sizeof outputs)
        fail("the path is too long", words[1]);
    FILE *index = open_file(words[1], "index.txt", "rb");
    if (fgets(line, sizeof line, index) == NULL || strcmp(line, "opfuzz-cases 1\n") != 0)
        fail("index.txt", "does not begin with 'opfuzz-cases 1'");
    FILE *status = open_file(outputs, "status.txt", "wb");
    while (read_case(index, &this))
        answer(words[1], outputs, status, &this);
    if (ferror(status) || fclose(status) != 0)
        fail("cannot be written", "status.txt");
    fclose(index);
    return 0;
}
