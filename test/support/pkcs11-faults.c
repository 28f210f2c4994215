/*
 * A PKCS#11 module that passes everything on to SoftHSM and can be told to misbehave, through an array of 32-bit
 * integers in a file that both sides map or write (PKCS11_FAULTS). The indices are those of pkcs11-faults.ts.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <pkcs11/pkcs11.h>

enum { FAIL_FUNCTION, FAIL_CODE, FAIL_SKIP, FAIL_COUNT, SIGN_DELAY_MS, MAX_SESSIONS, TOKEN_FLAGS, POINT_FORM, LOGINS, OPEN_SESSIONS,
       SIGNING, MOST_SIGNING, SIGNATURES, CLOSE_SESSIONS, HOLD_SIGNING, RELEASE_SIGNING, LOST_CODE, LOST_AT, LOST_UNTIL, RESTARTS,
       PADDING, HIDE_CURVE, LOGINS_WITHOUT_PIN, SWAPPED_KEY, FINALIZE_FAILS, HIDE_TOKENS, ENTRIES };
enum { LOST_UNTIL_LAST_CLOSE = 1, LOST_UNTIL_RESTART };
enum { ON_LOGIN = 1, ON_OPEN_SESSION, ON_SIGN_INIT, ON_SIGN, ON_SLOT_LIST };

static volatile int *faults;
static CK_FUNCTION_LIST real;
static CK_FUNCTION_LIST shown;
/* The user's PIN, which a protected login takes from elsewhere than from its caller. */
static const char *own_pin;
/* SoftHSM frees a session that another thread signs with, so sessions are closed between two calls. */
static pthread_rwlock_t sessions = PTHREAD_RWLOCK_INITIALIZER;

static CK_RV fault(int function) {
  if (faults[FAIL_FUNCTION] != function) return CKR_OK;
  if (__sync_fetch_and_sub(&faults[FAIL_SKIP], 1) > 0) return CKR_OK;
  if (__sync_fetch_and_sub(&faults[FAIL_COUNT], 1) <= 0) {
    __sync_fetch_and_add(&faults[FAIL_COUNT], 1);
    return CKR_OK;
  }
  return (CK_RV)(unsigned)faults[FAIL_CODE];
}

/*
 * A device that forgot the sessions of this process: every signature fails, whatever session it is asked for in, while
 * all that does not sign goes on saying that the user is logged in.
 */
static CK_RV lost(int function) {
  return faults[LOST_CODE] != 0 && faults[LOST_AT] == function ? (CK_RV)(unsigned)faults[LOST_CODE] : CKR_OK;
}

static void found_again(int on) {
  if (on >= faults[LOST_UNTIL]) faults[LOST_CODE] = 0;
}

/* The text of a field of `width` bytes, filled up in other ways than with blanks at the end. */
static void pad(CK_UTF8CHAR *field, size_t width) {
  size_t length = width;
  while (length > 0 && field[length - 1] == ' ') length--;
  switch (faults[PADDING]) {
    case 1: /* NUL at the end */
      memset(field + length, 0, width - length);
      break;
    case 2: /* blanks in front */
      memmove(field + width - length, field, length);
      memset(field, ' ', width - length);
      break;
    case 3: /* NUL in front */
      memmove(field + width - length, field, length);
      memset(field, 0, width - length);
      break;
    case 4: /* a C string in a buffer that was used before */
      if (length < width) field[length] = 0;
      if (length + 1 < width) memset(field + length + 1, 'x', width - length - 1);
      break;
  }
}

static CK_RV get_slot_list(CK_BBOOL present, CK_SLOT_ID_PTR list, CK_ULONG_PTR count) {
  CK_RV rv = fault(ON_SLOT_LIST);
  if (rv == CKR_OK) rv = real.C_GetSlotList(present, list, count);
  if (rv == CKR_OK && faults[HIDE_TOKENS]) *count = 0;
  return rv;
}

static CK_RV get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info) {
  CK_RV rv = real.C_GetTokenInfo(slot, info);
  if (rv == CKR_OK) {
    info->flags |= (CK_FLAGS)faults[TOKEN_FLAGS];
    info->ulMaxSessionCount = (CK_ULONG)faults[MAX_SESSIONS];
    pad(info->label, sizeof info->label);
    pad(info->manufacturerID, sizeof info->manufacturerID);
    pad(info->model, sizeof info->model);
    pad(info->serialNumber, sizeof info->serialNumber);
  }
  return rv;
}

static CK_RV open_session(CK_SLOT_ID slot, CK_FLAGS flags, CK_VOID_PTR application, CK_NOTIFY notify,
                          CK_SESSION_HANDLE_PTR session) {
  CK_RV rv = fault(ON_OPEN_SESSION);
  if (rv == CKR_OK) rv = real.C_OpenSession(slot, flags, application, notify, session);
  if (rv == CKR_OK) __sync_fetch_and_add(&faults[OPEN_SESSIONS], 1);
  return rv;
}

static CK_RV close_session(CK_SESSION_HANDLE session) {
  CK_RV rv = real.C_CloseSession(session);
  if (rv == CKR_OK && __sync_sub_and_fetch(&faults[OPEN_SESSIONS], 1) == 0) found_again(LOST_UNTIL_LAST_CLOSE);
  return rv;
}

static CK_RV close_all_sessions(CK_SLOT_ID slot) {
  CK_RV rv = real.C_CloseAllSessions(slot);
  if (rv == CKR_OK) {
    faults[OPEN_SESSIONS] = 0;
    found_again(LOST_UNTIL_LAST_CLOSE);
  }
  return rv;
}

static CK_RV finalize(CK_VOID_PTR reserved) {
  if (faults[FINALIZE_FAILS] && faults[OPEN_SESSIONS] > 0) return CKR_DEVICE_ERROR;
  CK_RV rv = real.C_Finalize(reserved);
  if (rv == CKR_OK) {
    faults[OPEN_SESSIONS] = 0;
    __sync_fetch_and_add(&faults[RESTARTS], 1);
    faults[SWAPPED_KEY] = 0;
    if (faults[HIDE_TOKENS] > 0) __sync_fetch_and_sub(&faults[HIDE_TOKENS], 1);
    found_again(LOST_UNTIL_RESTART);
  }
  return rv;
}

static CK_RV login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG length) {
  __sync_fetch_and_add(&faults[LOGINS], 1);
  CK_RV rv = fault(ON_LOGIN);
  if (rv == CKR_OK && pin == NULL && (faults[TOKEN_FLAGS] & CKF_PROTECTED_AUTHENTICATION_PATH)) {
    __sync_fetch_and_add(&faults[LOGINS_WITHOUT_PIN], 1);
    return real.C_Login(session, user, (CK_UTF8CHAR_PTR)own_pin, strlen(own_pin));
  }
  return rv != CKR_OK ? rv : real.C_Login(session, user, pin, length);
}

static int is_private_key(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object) {
  CK_OBJECT_CLASS class = 0;
  CK_ATTRIBUTE attribute = { CKA_CLASS, &class, sizeof class };
  return real.C_GetAttributeValue(session, object, &attribute, 1) == CKR_OK && class == CKO_PRIVATE_KEY;
}

static CK_RV get_attribute(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR attribute,
                           CK_ULONG count) {
  if (count == 1 && attribute->type == CKA_EC_PARAMS && faults[HIDE_CURVE] && is_private_key(session, object)) {
    return CKR_ATTRIBUTE_TYPE_INVALID;
  }
  CK_RV rv = real.C_GetAttributeValue(session, object, attribute, count);
  if (faults[POINT_FORM] == 3 && rv == CKR_OK && count == 1 && attribute->type == CKA_EC_POINT) { /* in a BIT STRING */
    static const CK_BYTE header[] = { 3, 66, 0 };
    if (attribute->pValue == NULL) {
      attribute->ulValueLen = 68;
    } else {
      CK_BYTE *point = attribute->pValue;
      memmove(point + 3, point + 2, 65);
      memcpy(point, header, sizeof header);
      attribute->ulValueLen = 68;
    }
    return CKR_OK;
  }
  if (rv != CKR_OK || count != 1 || attribute->type != CKA_EC_POINT || attribute->pValue == NULL) return rv;
  CK_BYTE *bytes = attribute->pValue;
  if (faults[POINT_FORM] == 0 || attribute->ulValueLen != 67) return rv;
  if (faults[POINT_FORM] == 1) { /* uncompressed, not wrapped */
    memmove(bytes, bytes + 2, attribute->ulValueLen = 65);
  } else if (faults[POINT_FORM] == 2) { /* compressed, not wrapped */
    CK_BYTE parity = bytes[66] & 1;
    memmove(bytes + 1, bytes + 3, 32);
    bytes[0] = 2 + parity;
    attribute->ulValueLen = 33;
  }
  return rv;
}

/* As an HSM does that was restarted: once for each time it is told to, all sessions end, and the login with them. */
static void close_sessions(CK_SESSION_HANDLE session) {
  CK_SESSION_INFO info;
  if (!__sync_bool_compare_and_swap(&faults[CLOSE_SESSIONS], 1, 0)) return;
  if (real.C_GetSessionInfo(session, &info) != CKR_OK) return;
  pthread_rwlock_wrlock(&sessions);
  if (real.C_CloseAllSessions(info.slotID) == CKR_OK) faults[OPEN_SESSIONS] = 0;
  pthread_rwlock_unlock(&sessions);
}

/* A handle that names another object than before: the private key with the id 02. */
static CK_OBJECT_HANDLE other_key(CK_SESSION_HANDLE session) {
  CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
  CK_BYTE id = 2;
  CK_ATTRIBUTE template[] = { { CKA_CLASS, &class, sizeof class }, { CKA_ID, &id, 1 } };
  CK_OBJECT_HANDLE key = 0;
  CK_ULONG count = 0;
  if (real.C_FindObjectsInit(session, template, 2) != CKR_OK) return 0;
  real.C_FindObjects(session, &key, 1, &count);
  real.C_FindObjectsFinal(session);
  return key;
}

static CK_RV sign_init(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key) {
  close_sessions(session);
  CK_RV rv = fault(ON_SIGN_INIT);
  if (rv == CKR_OK) rv = lost(ON_SIGN_INIT);
  if (rv != CKR_OK) return rv;
  if (faults[SWAPPED_KEY]) key = other_key(session);
  pthread_rwlock_rdlock(&sessions);
  rv = real.C_SignInit(session, mechanism, key);
  pthread_rwlock_unlock(&sessions);
  return rv;
}

static CK_RV sign(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG length, CK_BYTE_PTR signature,
                  CK_ULONG_PTR signature_length) {
  int signing = __sync_add_and_fetch(&faults[SIGNING], 1);
  if (signing > faults[MOST_SIGNING]) faults[MOST_SIGNING] = signing;
  if (faults[SIGN_DELAY_MS] > 0) usleep(1000u * (unsigned)faults[SIGN_DELAY_MS]);
  if (faults[HOLD_SIGNING])
    while (!faults[RELEASE_SIGNING]) usleep(1000);
  CK_RV rv = fault(ON_SIGN);
  if (rv == CKR_OK) rv = lost(ON_SIGN);
  pthread_rwlock_rdlock(&sessions);
  if (rv == CKR_OK) rv = real.C_Sign(session, data, length, signature, signature_length);
  pthread_rwlock_unlock(&sessions);
  if (rv == CKR_OK) __sync_fetch_and_add(&faults[SIGNATURES], 1);
  __sync_fetch_and_sub(&faults[SIGNING], 1);
  return rv;
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list) {
  if (faults == NULL) {
    int file = open(getenv("PKCS11_FAULTS"), O_RDWR);
    void *memory = mmap(NULL, ENTRIES * sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    void *module = dlopen(getenv("PKCS11_FAULTS_MODULE"), RTLD_NOW | RTLD_LOCAL);
    if (file < 0 || memory == MAP_FAILED || module == NULL) return CKR_GENERAL_ERROR;
    CK_C_GetFunctionList get = (CK_C_GetFunctionList)dlsym(module, "C_GetFunctionList");
    CK_FUNCTION_LIST_PTR functions;
    if (get == NULL || get(&functions) != CKR_OK) return CKR_GENERAL_ERROR;
    real = shown = *functions;
    shown.C_GetSlotList = get_slot_list;
    shown.C_GetTokenInfo = get_token_info;
    shown.C_OpenSession = open_session;
    shown.C_CloseSession = close_session;
    shown.C_CloseAllSessions = close_all_sessions;
    shown.C_Finalize = finalize;
    shown.C_Login = login;
    shown.C_GetAttributeValue = get_attribute;
    shown.C_SignInit = sign_init;
    shown.C_Sign = sign;
    own_pin = getenv("PKCS11_FAULTS_PIN");
    faults = memory;
  }
  *list = &shown;
  return CKR_OK;
}
