// The words of a row: the same names and numbers as src/l7/transport.ts, which says what they mean. A test compares the
// two files.
#ifndef MIDPLANE_L7_ROWS_H
#define MIDPLANE_L7_ROWS_H

#define ROW_WORDS 48
#define ROWS 256
#define MAX_RUNS 16

#define READ_BYTES (1 << 20)
#define ROW_BYTES (40 * 1024)
#define SCRATCH_ROW (12 * 1024)
#define SCRATCH_END (READ_BYTES + READ_BYTES + ROWS * SCRATCH_ROW)
#define FRAME_BYTES (1 << 20)
#define CONTROLS_AT (SCRATCH_END + FRAME_BYTES)
#define CONTROLS 16384
#define ROW_CONTROLS 1024
#define ARENA_BYTES (CONTROLS_AT + 4 * CONTROLS)

#define W_CONN 0
#define W_KIND 1
#define W_IN 2
#define W_OFF 3
#define W_LEN 4
#define W_REASON 5
#define W_LISTENER 6
#define W_OUT 7
#define W_HEAD 8
#define W_ACTION 9
#define W_ENDPOINT 10
#define W_BODY 11
#define W_BODY_LO 12
#define W_BODY_HI 13
#define W_DEADLINE 14
#define W_TAIL 15
#define W_RUNS 16
#define W_DONE_IN_LO 8
#define W_DONE_IN_HI 9
#define W_DONE_OUT_LO 10
#define W_DONE_OUT_HI 11
#define W_CONTROLS 16
#define W_CONTROLS_END 17

#define REQUEST 1
#define RESPONSE 2
#define BYTES 3
#define FAILED 5
#define TIMEOUT 6
#define DONE 7
#define OUTPUT 8
#define HELLO 9

#define IN_EOF 1
#define IN_DRAINING 2
#define IN_REUSED 4
#define IN_SENT 8
#define IN_REPLAYABLE 16
#define IN_STARTED 32
#define IN_REQUEST_OPEN 64
#define IN_DRAINED 128
#define IN_GONE 256
#define IN_UPSTREAM 512
#define IN_TRAILERS 1024
#define IN_TUNNEL 2048
#define IN_FIRST 4096

#define WAIT 0
#define FORWARD 1
#define REPLY 2
#define HOLD 3
#define RAW 4
#define TUNNEL 5
#define RETRY 6
#define CLOSE 7
#define PLAIN 8
#define TLS 9

#define BODY_NONE 0
#define BODY_LENGTH 1
#define BODY_CHUNKED 2
#define BODY_CLOSE 3
#define BODY_INTERIM 4

#define OUT_KEEP 1
#define OUT_KEEP_UPSTREAM 2
#define OUT_CHUNK 4
#define OUT_ASK 8

#define WHY_NONE 0
#define WHY_CONNECT 1
#define WHY_CONNECT_TIMEOUT 2
#define WHY_RESET 3
#define WHY_EOF 4
#define WHY_OVERFLOW 5
#define WHY_HEAD 6
#define WHY_DEADLINE 7
#define WHY_STALL 8
#define WHY_CLIENT 9
#define WHY_FRAMING 10
#define WHY_CLOSED 11
#define WHY_TLS 12
#define WHY_MEMORY 13

#define BODY_RATE 500
#define TICKET_KEY 80
#define ORPHANS 0xffffffff

#endif
