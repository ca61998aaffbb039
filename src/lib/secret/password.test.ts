import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hashPassword, isPasswordHash, verifyPassword } from './password.ts';

test('a hash verifies its password and no other', async () => {
  const hash = await hashPassword('correct horse');
  assert.match(hash, /^\$scrypt\$ln=15,r=8,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
  assert.notEqual(hash, await hashPassword('correct horse'));
  assert.equal(await verifyPassword('correct horse', hash), true);
  assert.equal(await verifyPassword('correct horsf', hash), false);
  assert.equal(await verifyPassword('', hash), false);
});

test('a hash made by others: the vector of RFC 7914, section 12', async () => {
  const salt = Buffer.from('SodiumChloride').toString('base64').replace(/=+$/, '');
  const key = Buffer.from(
    '7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887',
    'hex',
  );
  const hash = `$scrypt$ln=14,r=8,p=1$${salt}$${key.toString('base64').replace(/=+$/, '')}`;
  assert.equal(await verifyPassword('pleaseletmein', hash), true);
});

test('composed and decomposed letters are the same password', async () => {
  assert.equal(await verifyPassword('Zu\u0308rich', await hashPassword('Z\u00fcrich')), true);
});

test('what is no hash, or would cost too much, verifies nothing', async () => {
  const salt = 'A'.repeat(22);
  const key = 'A'.repeat(43);
  for (const bad of [
    '',
    'hunter2',
    `$scrypt$ln=30,r=8,p=1$${salt}$${key}`,
    `$scrypt$ln=15,r=99,p=1$${salt}$${key}`,
    `$scrypt$ln=1,r=8,p=1$${salt}$${key}`,
    `$2b$10$${salt}$${key}`,
    `$scrypt$ln=15,r=8,p=1$${salt}$`,
  ]) {
    assert.equal(isPasswordHash(bad), false, bad);
  }
  assert.equal(await verifyPassword('x', '$scrypt$ln=30,r=8,p=1$AAAA$AAAA'), false);
});
