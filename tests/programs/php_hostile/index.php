<?php
// An application that lies about what Xdebug wrote for it, and puts other things in its place.

function own()
{
    foreach (array('profiler_filename', 'tracefile_name', 'gcstats_filename') as $name) {
        $file = function_exists("xdebug_get_$name") ? @call_user_func("xdebug_get_$name") : null;
        if ($file) {
            return $file;
        }
    }
    return null;
}

function grow($bytes)
{
    return str_repeat('x', $bytes);
}

function cycles($count)
{
    for ($i = 0; $i < $count; $i++) {
        $a = new stdClass();
        $a->self = $a;
    }
    return gc_collect_cycles();
}

$own = own();
$beside = $own === null ? null : dirname($own) . '/beside';
switch (parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) {
    case '/grow':
        $kept = grow(5000000);
        echo strlen($kept);
        break;
    case '/cycles':
        echo cycles(30000);
        break;
    case '/seen':
        echo json_encode(array('unique_id' => $_SERVER['UNIQUE_ID'] ?? null,
            'modes' => function_exists('xdebug_info') ? xdebug_info('mode') : null));
        break;
    case '/meet':
        // Ends when there are two.
        touch($beside . getmypid());
        for ($i = 0; $i < 20000 && count(glob("$beside*")) < 2; $i++) {
            usleep(1000);
            clearstatcache();
        }
        echo $own;
        break;
    case '/strip':
        header_remove();
        echo $own;
        break;
    case '/say':
        header('X-Xdebug-Profile-Filename: ' . $_GET['name']);
        break;
    case '/say-much':
        header('X-Xdebug-Profile-Filename: /' . str_repeat('x', 1000000));
        break;
    case '/settings':
        echo json_encode(array('mark' => getenv('PHP_APP_MARK'), 'precision' => ini_get('precision'),
            'max_execution_time' => ini_get('max_execution_time')));
        break;
    case '/own-fifo':
        if ($own === null) {
            echo 'nothing of Xdebug here';
            break;
        }
        // no break
    case '/fifo':
        unlink($own);
        posix_mkfifo($own, 0600);
        break;
    case '/symlink':
        unlink($own);
        symlink('/etc/passwd', $own);
        break;
    case '/hardlink':
        link($own, $beside . getmypid());
        break;
    case '/directory':
        unlink($own);
        mkdir($own);
        break;
    case '/socket':
        unlink($own);
        chdir(dirname($own)); // a socket's path has 107 bytes
        stream_socket_server('unix://' . basename($own));
        break;
    case '/sparse':
        unlink($own);
        ftruncate(fopen($own, 'w'), 2147483648);
        break;
    case '/garbage':
        unlink($own);
        file_put_contents($own, random_bytes(5000));
        break;
    case '/bomb':
        unlink($own);
        $out = fopen($own, 'w');
        $deflate = deflate_init(ZLIB_ENCODING_GZIP, array('level' => 1));
        for ($i = 0; $i < 520; $i++) {
            fwrite($out, deflate_add($deflate, str_repeat("\0", 1 << 20), ZLIB_NO_FLUSH));
        }
        fwrite($out, deflate_add($deflate, '', ZLIB_FINISH));
        fclose($out);
        break;
    case '/endless':
        unlink($own);
        $out = fopen($own, 'w');
        flock($out, LOCK_EX);
        echo 'goes on';
        fastcgi_finish_request();
        for ($size = 0; file_exists($own); $size += 16 << 20) {
            ftruncate($out, $size);
            usleep(5000);
        }
        break;
    case '/forged':
        copy($own, preg_replace('/\.\d{6}\./', '.999999.', $own));
        break;
    case '/killed':
        echo 'killed';
        fastcgi_finish_request();
        grow(1000);
        posix_kill(getmypid(), 9);
        break;
    default:
        echo 'pid ', getmypid();
}
