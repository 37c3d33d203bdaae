/*
 * The other side of probe.c: opens its device and writes each argument to it. With no argument it says so and keeps the
 * device open until it is killed.
 */
#include <stdio.h>
#include <windows.h>

int main(int count, char **words)
{
    HANDLE device = CreateFileA("\\\\.\\LabProbe", GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);
    DWORD written;

    if (device == INVALID_HANDLE_VALUE) {
        printf("cannot open the device: %lu\n", GetLastError());
        return 1;
    }
    for (int i = 1; i < count; i++)
        if (!WriteFile(device, words[i], (DWORD)strlen(words[i]), &written, NULL)) {
            printf("cannot write %s: %lu\n", words[i], GetLastError());
            return 1;
        }
    if (count == 1) {
        puts("open");
        fflush(stdout);
        Sleep(INFINITE);
    }
    CloseHandle(device);
    puts("done");
    return 0;
}
