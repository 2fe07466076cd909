/* For tests only: the one function that Rust's standard library wants of bcryptprimitives.dll, which Wine 8 has not got.
 * SystemFunction036 is RtlGenRandom of advapi32.dll. Built by lanparty_testkit::wine. */
#include <windows.h>

BOOLEAN NTAPI SystemFunction036(PVOID buffer, ULONG length);

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T length)
{
    while (length > 0) {
        ULONG part = length > 0x10000 ? 0x10000 : (ULONG)length;
        if (!SystemFunction036(data, part))
            return FALSE;
        data += part;
        length -= part;
    }
    return TRUE;
}
