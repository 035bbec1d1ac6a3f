/**
 * The MariaDB of the second case: one data directory that both hosts can reach, a fresh copy for each
 * run, the same settings whoever starts the server.
 */
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The account of the client in the switch's namespace. */
export const clientAccount = { user: "bench", password: "bench-client" } as const;
/** The account with which Baton probes and opens the server, over its socket. */
export const monitorAccount = { user: "baton", password: "bench-monitor" } as const;
export const mysqldSocket = "/run/mysqld/mysqld.sock";
export const mysqldPidFile = "/run/mysqld/mysqld.pid";

/** Durable commits as the chapter's master pair has them; a log large enough for the fixed load. */
function myCnf(dataDirectory: string): string {
  return `[mysqld]
datadir=${dataDirectory}
socket=${mysqldSocket}
pid-file=${mysqldPidFile}
user=root
port=3306
bind-address=0.0.0.0
server-id=1
log-bin=mysql-bin
binlog_format=ROW
innodb_flush_log_at_trx_commit=1
sync_binlog=1
innodb_doublewrite=1
innodb_buffer_pool_size=64M
innodb_log_file_size=64M
skip_name_resolve=1
performance_schema=0
`;
}

const accountsSql = `FLUSH PRIVILEGES;
CREATE USER '${clientAccount.user}'@'192.168.0.%' IDENTIFIED BY '${clientAccount.password}';
GRANT SELECT, INSERT, CREATE ON *.* TO '${clientAccount.user}'@'192.168.0.%';
CREATE USER '${monitorAccount.user}'@'localhost' IDENTIFIED BY '${monitorAccount.password}';
GRANT SUPER, READ_ONLY ADMIN, PROCESS, REPLICATION CLIENT, CONNECTION ADMIN, SHUTDOWN ON *.* TO '${monitorAccount.user}'@'localhost';
`;

/** Makes a data directory once; the directory that holds it is the caller's to remove. */
export function makeTemplate(): string {
  const directory = mkdtempSync(join(tmpdir(), "btn-bench-"));
  const data = join(directory, "data");
  const config = join(directory, "install.cnf");
  const sql = join(directory, "accounts.sql");
  // Messages of the installation belong on its terminal, not into a log.
  writeFileSync(config, myCnf(data).replace(/^(user|socket|pid-file|log-bin)=.*\n/gm, ""));
  writeFileSync(sql, accountsSql);
  execFileSync(
    "mariadb-install-db",
    [
      `--defaults-file=${config}`,
      "--user=root",
      "--skip-test-db",
      "--auth-root-authentication-method=socket",
      `--extra-file=${sql}`,
    ],
    { stdio: ["ignore", "ignore", "pipe"], timeout: 120_000 },
  );
  return directory;
}

/** What a run needs of its copy. */
export interface DatabaseFiles {
  readonly dataDirectory: string;
  readonly defaultsFile: string;
}

/** A copy of the template in `directory`, with its my.cnf. */
export function copyDatabase(template: string, directory: string): DatabaseFiles {
  const dataDirectory = join(directory, "database");
  const defaultsFile = join(directory, "my.cnf");
  mkdirSync(dataDirectory, { mode: 0o755 });
  cpSync(join(template, "data"), dataDirectory, { recursive: true });
  writeFileSync(defaultsFile, `${myCnf(dataDirectory)}log_error=/var/log/mysqld.log\n`);
  return { dataDirectory, defaultsFile };
}

/**
 * The init script that heartbeat runs: the server in the background, then a look each second, as the
 * scripts of the distributions do it.
 */
export function initScript(files: DatabaseFiles): string {
  return `#!/bin/sh
# The database server, for the benchmark.
alive() { mariadb --socket=${mysqldSocket} --user=root --execute='SELECT 1' >/dev/null 2>&1; }
case $1 in
  start)
    alive && exit 0
    mkdir -p /run/mysqld
    setsid mariadbd --defaults-file=${files.defaultsFile} </dev/null >/dev/null 2>&1 &
    for second in $(seq 60); do
      sleep 1
      alive && exit 0
    done
    exit 1
    ;;
  stop)
    [ -f ${mysqldPidFile} ] || exit 0
    kill "$(cat ${mysqldPidFile})" 2>/dev/null
    for second in $(seq 60); do
      [ -f ${mysqldPidFile} ] || exit 0
      sleep 1
    done
    exit 1
    ;;
  status)
    if alive; then echo "mysqld is running"; exit 0; fi
    echo "mysqld is stopped"
    exit 3
    ;;
esac
`;
}
