<?php
// Pages with known behaviour, for the tests of the PHP adapter.

function grow($bytes)
{
    return str_repeat('x', $bytes);
}

$path = parse_url($_SERVER['REQUEST_URI'] ?? '/', PHP_URL_PATH);
switch ($path) {
    case '/grow':
        $kept = grow(5000000);
        echo strlen($kept);
        break;
    case '/exit':
        http_response_code(418);
        exit('bye');
    case '/fatal':
        undefined_function();
        break;
    case '/oom':
        ini_set('memory_limit', '8M');
        for ($all = array();;) {
            $all[] = array(1, 2, 3, new stdClass());
        }
    case '/strip':
        header_remove();
        echo 'stripped';
        break;
    case '/finish':
        echo 'early';
        fastcgi_finish_request();
        usleep(300000);
        grow(1000);
        break;
    case '/observed':
        // What an application could notice of the agent.
        set_error_handler(function ($number, $text) {
            echo "handler saw: $text";
            return true;
        });
        register_shutdown_function(function () {
            echo json_encode(array('last' => error_get_last(), 'headers' => headers_list()));
        });
        break;
    case '/globals':
        echo json_encode(array('keys' => array_keys($GLOBALS), 'chained' => $GLOBALS['chained'] ?? null,
            'mode' => function_exists('xdebug_info') ? xdebug_info('mode') : null, 'env' => getenv('PHP_APP_MARK')));
        break;
    default:
        echo 'pid ', getmypid();
}
