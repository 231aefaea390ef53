/* glibc: the versions of its functions that are there from 2.17 on, whatever this is built with: 2.34 took those of
 * threads over into libc.so, under new versions. */
#ifndef EXECD_GLIBC_H
#define EXECD_GLIBC_H

__asm__(".symver pthread_key_create,pthread_key_create@GLIBC_2.2.5");
__asm__(".symver pthread_getspecific,pthread_getspecific@GLIBC_2.2.5");
__asm__(".symver pthread_setspecific,pthread_setspecific@GLIBC_2.2.5");

#endif
